"""Reading frames from files that stay open."""

import numpy as np
import pytest

from apo_core.episode_file import EpisodeWriter
from apo_core.errors import EpisodeFormatError
from apo_core.frame_files import FrameFiles
from apo_core.types import EpisodeOutcome, Outcome


@pytest.fixture
def write(tmp_path, small_contract, make_info, make_step):
    """(name, first tick) -> path of an episode of three steps."""

    def make(name, first=1):
        writer = EpisodeWriter(tmp_path, make_info(name), small_contract)
        for tick in range(first, first + 3):
            writer.append(make_step(tick))
        return writer.finish(EpisodeOutcome(Outcome.SUCCESS, "placed", True, False))

    return make


@pytest.fixture
def files():
    made = FrameFiles(limit=2)
    yield made
    made.close()


def test_frames_in_the_order_asked_for(write, files, make_step):
    frames = files.read(write("a"), [2, 0])["front"]
    np.testing.assert_array_equal(frames[0], make_step(3).observation.images["front"])
    np.testing.assert_array_equal(frames[1], make_step(1).observation.images["front"])


def test_more_files_than_stay_open(write, files, make_step):
    paths = [write(name, first) for name, first in (("a", 1), ("b", 11), ("c", 21))]
    for _ in range(2):
        found = [files.read(path, [0])["front"][0] for path in paths]
        for frame, tick in zip(found, (1, 11, 21), strict=True):
            np.testing.assert_array_equal(frame, make_step(tick).observation.images["front"])


def test_a_closed_file_is_opened_again(write, files, make_step):
    path = write("a")
    files.read(path, [0])
    files.close()
    np.testing.assert_array_equal(files.read(path, [1])["front"][0], make_step(2).observation.images["front"])


def test_errors_name_the_file_and_leave_others_readable(write, files, tmp_path):
    good, text = write("a"), tmp_path / "b.h5"
    text.write_text("no episode")
    for path, step in ((text, 0), (tmp_path / "absent.h5", 0), (good, 3)):
        with pytest.raises(EpisodeFormatError, match=path.name):
            files.read(path, [step])
    assert files.read(good, [2])["front"].shape == (1, 4, 6, 3)
