"""Ends a session on Ctrl-C, and when a node dies."""

from __future__ import annotations

import signal
from collections.abc import Callable

from apo_bringup.session.conduct import SessionStopped
from apo_bringup.stack.supervision import ProgramState

_LOOK_S = 0.5  # between looks at the programs
_TAIL_LINES = 8


class Watch:
    """Keeps a signal until the session checks for it, so that no call is interrupted.

    Args:
        dead: programs that ended by themselves.
        now: a clock, seconds.
    """

    def __init__(self, dead: Callable[[], list[ProgramState]], now: Callable[[], float]):
        self._dead, self._now = dead, now
        self._next = -float("inf")
        self.signal_name = ""

    def install(self) -> None:
        """Handles SIGINT and SIGTERM of this process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.signal_name = signal.Signals(number).name

    def check(self) -> None:
        """Raises SessionStopped when the session must end."""
        if self.signal_name:
            raise SessionStopped(f"{self.signal_name} received")
        if self._now() < self._next:
            return
        self._next = self._now() + _LOOK_S
        for state in self._dead():
            log = state.log.read_text(errors="replace").splitlines() if state.log.exists() else []
            tail = "\n".join(log[-_TAIL_LINES:])
            raise SessionStopped(f"node '{state.name}' ended with status {state.exit_status}; {state.log}:\n{tail}")
