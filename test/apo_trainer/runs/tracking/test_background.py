"""A tracker on a thread of its own."""

import threading

import numpy as np
import pytest

from apo_trainer.runs.tracking.background import BackgroundTracker


class Recorded:
    """Keeps its calls; raises or waits where it is asked to."""

    def __init__(self, fails_at: int = -1, waits: threading.Event | None = None):
        self.calls, self.entered = [], threading.Event()
        self._fails_at, self._waits = fails_at, waits

    def step(self, metrics, samples):
        self.entered.set()
        if self._waits is not None:
            self._waits.wait()
        if metrics["step"] == self._fails_at:
            raise ConnectionError("no route")
        self.calls.append(("step", metrics["step"]))

    def adapter(self, step, tensors):
        self.calls.append(("adapter", step, sorted(tensors)))

    def close(self, succeeded):
        self.calls.append(("close", succeeded))


def test_calls_arrive_in_order_before_it_is_closed():
    tracker, notes = Recorded(), []
    made = BackgroundTracker("mlflow", lambda: tracker, notes.append)
    for step in (1, 2, 3):
        made.step({"step": step}, {})
    made.adapter(3, {"a": np.zeros(1)})
    made.close(True)
    steps = [("step", step) for step in (1, 2, 3)]
    assert tracker.calls == [*steps, ("adapter", 3, ["a"]), ("close", True)]
    assert notes == []


def test_the_first_failure_is_noted_and_ends_it():
    tracker, notes = Recorded(fails_at=2), []
    made = BackgroundTracker("mlflow", lambda: tracker, notes.append)
    for step in range(1, 6):
        made.step({"step": step}, {})
    made.close(True)
    made.step({"step": 7}, {})
    made.close(True)
    assert tracker.calls == [("step", 1)]
    assert notes == ["tracker mlflow failed, and takes nothing more of this run: ConnectionError: no route"]


@pytest.mark.parametrize("error", [OSError("no server"), SystemExit("no server")])
def test_a_tracker_that_cannot_start_is_noted_alone(error):
    def start():
        raise error

    notes = []
    made = BackgroundTracker("wandb", start, notes.append)
    made.step({"step": 1}, {})
    made.close(False)
    kind = type(error).__name__
    assert notes == [f"tracker wandb failed, and takes nothing more of this run: {kind}: no server"]


def test_a_server_that_never_answers_holds_nothing_up():
    released, notes = threading.Event(), []
    tracker = Recorded(waits=released)
    made = BackgroundTracker("mlflow", lambda: tracker, notes.append, close_s=0.05, waiting=2)
    made.step({"step": 1}, {})
    assert tracker.entered.wait(60)
    for step in range(2, 7):  # two wait, three are dropped
        made.step({"step": step}, {})
    made.close(True)
    assert notes == ["tracker mlflow does not answer: 5 calls were not taken; the run goes on"]
    assert tracker.calls == []
    released.set()


def test_a_slow_server_misses_steps_and_that_is_noted():
    released, notes = threading.Event(), []
    tracker = Recorded(waits=released)
    made = BackgroundTracker("mlflow", lambda: tracker, notes.append, close_s=60.0, waiting=2)
    made.step({"step": 1}, {})
    assert tracker.entered.wait(60)
    for step in range(2, 7):
        made.step({"step": step}, {})
    released.set()
    made.close(True)
    assert tracker.calls == [("step", 1), ("step", 2), ("step", 3), ("close", True)]
    assert notes == ["tracker mlflow was too slow: 3 steps are missing there"]
