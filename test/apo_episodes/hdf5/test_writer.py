from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_episodes.hdf5.image_codec import pack
from apo_episodes.hdf5.writer import ROWS_PER_FLUSH, Hdf5Writer, step_row
from apo_episodes.reader import read_episode, verify_checksums

SUCCESS = EpisodeOutcome(Outcome.SUCCESS, "done", terminated=True, truncated=False)


@pytest.fixture
def written(tmp_path, small_contract, make_info, make_step):
    """(steps, compression, kept) -> path of a file of so many steps, of which the first `kept` stay."""

    def write(steps: int, compression: str = "zstd", kept: int | None = None):
        path = tmp_path / "e1.h5"
        writer = Hdf5Writer(path, make_info(), small_contract, compression)
        for tick in range(1, steps + 1):
            step = make_step(tick)
            frame = pack(step.observation.images["front"], compression, 95)
            writer.append(step_row(step, small_contract), [frame])
        assert writer.num_steps == steps
        if kept is not None:
            writer.truncate(kept)
        writer.finish(SUCCESS, {"frames_lost": 2}, {"front": {"received": 5}})
        return path

    return write


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none", "jpeg"])
@pytest.mark.parametrize("steps", [0, 1, ROWS_PER_FLUSH - 1, ROWS_PER_FLUSH, ROWS_PER_FLUSH + 1])
def test_any_number_of_steps_is_written(written, compression, steps):
    path = written(steps, compression)
    episode = read_episode(path)
    assert episode.ticks.tolist() == list(range(1, steps + 1))
    assert episode.images["front"].shape == (steps, 4, 6, 3)
    assert (episode.losses, episode.streams) == ({"frames_lost": 2}, {"front": {"received": 5}})
    assert verify_checksums(path) == []


@pytest.mark.parametrize("compression", ["zstd", "jpeg"])
@pytest.mark.parametrize("kept", [0, 1, ROWS_PER_FLUSH, 2 * ROWS_PER_FLUSH + 5, 99])
def test_dropped_steps_leave_nothing_in_the_file(written, compression, kept):
    steps = 2 * ROWS_PER_FLUSH + 5
    path = written(steps, compression, kept)
    with h5py.File(path) as f:
        lengths = {len(f[name]) for name in ("control/tick", "control/reason", "action/executed")}
    assert lengths == {min(kept, steps)}
    assert read_episode(path).num_steps == min(kept, steps)
    assert verify_checksums(path) == []


def test_a_row_holds_all_values_but_images(make_step, small_contract):
    row = step_row(make_step(3, ControlSource.HOLD), small_contract)
    assert (row["control/tick"], row["control/source"], row["control/reason"]) == (3, 2, "because 3")
    assert np.isnan(row["action/policy"]).all() and row["action/policy"].dtype == np.float32
    assert row["observation/header_stamp_ns/front"] == 0  # unknown
    assert not [name for name in row if name.startswith("observation/images")]


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({}, set()),
        ({"policy_tokens": np.arange(7), "task_remaining": 0.0}, {"action/policy_tokens", "task/remaining"}),
        ({"policy_tokens": np.arange(6), "task_remaining": -1.0}, set()),
        ({"policy_tokens": np.arange(7), "policy_action": None}, set()),
        ({"task_remaining": float("inf")}, set()),
    ],
)
def test_a_row_holds_the_known_optional_facts(make_step, small_contract, facts, names):
    row = step_row(replace(make_step(1), **facts), small_contract)
    assert set(row) & {"action/policy_tokens", "task/remaining"} == names


def test_an_unfinished_file_is_no_episode(tmp_path, small_contract, make_info):
    writer = Hdf5Writer(tmp_path / "e1.h5", make_info(), small_contract, "zstd")
    writer.close()
    with pytest.raises(EpisodeFormatError, match="was never finished"):
        read_episode(tmp_path / "e1.h5")
