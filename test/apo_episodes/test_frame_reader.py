import dataclasses
import json

import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.frame_reader import FrameReader
from apo_episodes.writer import EpisodeWriter

DONE = EpisodeOutcome(Outcome.SUCCESS, "t", True, False)


@pytest.fixture
def write(tmp_path, small_contract, make_info, make_step):
    def make(name, first, compression="zstd"):
        writer = EpisodeWriter(tmp_path, make_info(name), small_contract, compression)
        for tick in range(first, first + 5):
            writer.append(make_step(tick))
        return writer.finish(DONE)

    return make


def test_batches_hold_the_frames_asked_for(write, make_observation):
    paths = [write("a", 1), write("b", 11, "gzip"), write("c", 21, "none")]
    with FrameReader(paths, workers=2) as reader:
        for _ in range(2):
            batch = reader.read([(2, 4), (0, 0), (1, 3), (0, 0)])
            assert set(batch) == {"front"} and batch["front"].shape == (4, 4, 6, 3)
            for frame, tick in zip(batch["front"], (25, 1, 14, 1), strict=True):
                np.testing.assert_array_equal(frame, make_observation(tick * 100_000_000).images["front"])


def test_an_earlier_batch_is_overwritten(write, make_observation):
    with FrameReader([write("a", 1)]) as reader:
        batch = reader.read([(0, 0), (0, 1)])
        again = reader.read([(0, 4), (0, 2)], batch)
        assert again["front"] is batch["front"]
        for frame, tick in zip(batch["front"], (5, 3), strict=True):
            np.testing.assert_array_equal(frame, make_observation(tick * 100_000_000).images["front"])
        with pytest.raises(ValueError, match="out is not a batch of 1 samples"):
            reader.read([(0, 0)], batch)


@pytest.mark.parametrize("step", [-1, 5])
def test_step_beyond_the_end_is_rejected(write, step):
    with FrameReader([write("a", 1)]) as reader, pytest.raises(EpisodeFormatError, match=r"a\.h5: .*must be 0\.\.4"):
        reader.read([(0, step)])


def test_unknown_camera_is_rejected(write):
    with pytest.raises(EpisodeFormatError, match="has no camera"):
        FrameReader([write("a", 1)], ["wrist"])


def test_damaged_file_is_named(write):
    good, bad = write("a", 1), write("b", 1)
    bad.write_bytes(bad.read_bytes()[:1000])
    with FrameReader([good, bad]) as reader:
        assert len(reader.read([(0, 0)])["front"]) == 1
        with pytest.raises(EpisodeFormatError, match=r"b\.h5"):
            reader.read([(0, 0), (1, 0)])


def test_cameras_of_another_shape_are_rejected(tmp_path, write, small_contract, make_info, make_step):
    data = json.loads(small_contract.json)
    data["images"]["front"]["height"] = 2
    contract = contract_from_dict(data, "small")
    info = dataclasses.replace(make_info("small"), contract_json=contract.json)
    writer = EpisodeWriter(tmp_path, info, contract)
    step = make_step(1)
    step.observation.images["front"] = step.observation.images["front"][:2]
    writer.append(step)
    small = writer.finish(DONE)
    with (
        FrameReader([write("other", 1), small]) as reader,
        pytest.raises(EpisodeFormatError, match="camera 'front' is missing or"),
    ):
        reader.read([(1, 0)])
