"""The trackers of a run by their names."""

import pytest

from apo_trainer.config import TrainerConfig
from apo_trainer.runs.tracking.trackers import Trackers, open_trackers


class Closing:
    """Keeps how it was closed."""

    def __init__(self, error: Exception | None = None):
        self.closed, self._error = [], error

    def step(self, metrics, samples):
        self.closed.append(metrics["step"])

    def close(self, succeeded):
        self.closed.append(succeeded)
        if self._error is not None:
            raise self._error


def test_every_tracker_takes_every_call():
    trackers = [Closing(), Closing()]
    with Trackers(trackers) as made:
        made.step({"step": 1}, {})
    assert [tracker.closed for tracker in trackers] == [[1, True], [1, True]]


def test_a_run_that_fails_closes_all_as_failed():
    trackers = [Closing(OSError("disk full")), Closing()]
    with pytest.raises(FloatingPointError), Trackers(trackers[1:]):
        raise FloatingPointError
    with pytest.raises(OSError, match="disk full"), Trackers(trackers):
        pass
    assert [tracker.closed for tracker in trackers] == [[True], [False, True]]


@pytest.mark.parametrize(("tracker", "files"), [("tensorboard", 1), ("none", 0)])
def test_tensorboard_is_one_of_them(tracker, files, tmp_path):
    with open_trackers(TrainerConfig(tracker=tracker), "run", tmp_path, 0, pytest.fail) as made:
        made.step({"step": 1, "loss": 0.5}, {"loss": [0.5]})
        made.adapter(1, {})
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == files
