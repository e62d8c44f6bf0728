import pytest

from apo_core.remote.chunk_store import RemoteError
from apo_core.remote.patience import Patience


class Time:
    """A clock that a sleep sets forward."""

    def __init__(self):
        self.now_s, self.sleeps, self.reports = 100.0, [], []

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now_s += seconds

    def patience(self, limit_s):
        return Patience(limit_s, lambda: self.now_s, self.sleep, self.reports.append)


def failing(times, text="down"):
    left = [times]

    def access():
        if left[0]:
            left[0] -= 1
            raise RemoteError(text)
        return "done"

    return access


def test_an_access_is_tried_again_with_growing_waits():
    time = Time()
    assert time.patience(1000.0).call(failing(9)) == "done"
    assert time.sleeps == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert time.reports == ["down"]  # once


def test_the_last_failure_is_raised_when_the_limit_has_passed():
    time = Time()
    with pytest.raises(RemoteError, match="down"):
        time.patience(3.0).call(failing(100))
    assert time.sleeps == [0.5, 1.0, 1.5]


def test_without_patience_it_is_tried_once():
    time = Time()
    with pytest.raises(RemoteError):
        time.patience(0.0).call(failing(1))
    assert time.sleeps == [] and time.reports == []


def test_other_errors_are_not_tried_again():
    def access():
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        Time().patience(1000.0).call(access)
