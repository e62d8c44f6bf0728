"""The thread that looks for new episodes, with a folder that is replaced."""

import threading
from pathlib import Path

import pytest

from apo_core.errors import EpisodeFormatError
from apo_trainer.data.episode_files import RejectedEpisode
from apo_trainer.service.episode_watch import EpisodeWatch

WAIT_S = 20.0


class Folder:
    """Gives one answer a look, the last one for ever; a look ends in `looked`."""

    def __init__(self, *answers):
        self.answers, self.looked = list(answers), threading.Semaphore(0)

    def look(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.looked.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self):
        assert self.looked.acquire(timeout=WAIT_S)


@pytest.fixture
def watch():
    """Starts the thread on a folder; it looks when woken."""
    started = []

    def make(folder, lines):
        started.append(EpisodeWatch(folder, 3600.0, 0, lines.append))
        started[-1].start()
        folder.wait()
        return started[-1]

    yield make
    for each in started:
        each.stop()


def test_rejected_files_are_reported(watch):
    folder, lines = Folder([RejectedEpisode(Path("a.h5"), "has no step")], []), []
    made = watch(folder, lines)
    made.wake()
    folder.wait()
    made.stop()
    assert lines == ["rejected: a.h5: has no step"]
    assert made.fault == ""


def test_folder_that_cannot_be_read_is_reported_once(watch):
    fault = EpisodeFormatError("episodes: cannot be listed")
    folder, lines = Folder(fault, fault, fault), []
    made = watch(folder, lines)
    for _ in range(2):
        made.wake()
        folder.wait()
    made.stop()
    assert lines == ["episodes: episodes: cannot be listed"]
    assert made.fault == "episodes: cannot be listed"


def test_fault_is_cleared_by_the_next_look_that_succeeds(watch):
    folder, lines = Folder(OSError("gone"), []), []
    made = watch(folder, lines)
    made.wake()
    folder.wait()
    made.stop()
    assert (made.fault, lines) == ("", ["episodes: gone"])
