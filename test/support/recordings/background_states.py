"""What the recorder's background process reports, in a test that waits for it."""

import time
from collections.abc import Callable

from apo_recorder.background.process import BackgroundProcess
from apo_recorder.background.supervision import ChildState

WAIT_S = 120.0  # limit of a wait for something that will come


def until(condition: Callable[[], object], what: str):
    """The first value that is true."""
    due_s = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < due_s, what
        time.sleep(0.02)
    return found


def until_uploaded(process: BackgroundProcess, number: int) -> ChildState:
    """The state once the store has so many episodes and nothing is wrong."""

    def state() -> ChildState | None:
        found = process.step(time.monotonic())
        return found if found.values["uploaded"] == str(number) and not found.fault else None

    return until(state, f"{number} uploaded episodes")


def until_shown(process: BackgroundProcess, text: str) -> ChildState:
    """The state once its text has this part."""

    def state() -> ChildState | None:
        found = process.step(time.monotonic())
        return found if text in found.text else None

    return until(state, f"'{text}' in the state")
