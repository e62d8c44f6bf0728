"""Who drove, and why, over the last seconds. Pure; time is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Run:
    """A time in which state and reason stayed."""

    start_s: float
    end_s: float
    state: str  # POLICY, HUMAN, HOLD, IDLE, ESTOP, or SILENT: the arbiter sent nothing
    reason: str


class Timeline:
    """Runs of equal state and reason.

    Args:
        seconds: what is kept.
        silent_s: a pause between two reports that is shown as one.
    """

    def __init__(self, seconds: float = 30.0, silent_s: float = 0.5):
        self._seconds, self._silent_s = seconds, silent_s
        self._runs: deque[Run] = deque()

    def add(self, now_s: float, state: str, reason: str) -> None:
        """The arbiter reports its state; `now_s` is steady time."""
        last = self._runs[-1] if self._runs else None
        if last is not None and now_s - last.end_s > self._silent_s:
            self._runs.append(Run(last.end_s, now_s, "SILENT", ""))
            last = None
        elif last is not None:
            last.end_s = max(last.end_s, now_s)
        if last is None or (last.state, last.reason) != (state, reason):
            self._runs.append(Run(now_s, now_s, state, reason))
        while self._runs[0].end_s < now_s - self._seconds:
            self._runs.popleft()

    def rows(self, now_s: float) -> list[dict[str, Any]]:
        """Oldest first: `{from, to, state, reason}`, s before now, rounded to 10 ms."""
        rows: list[dict[str, Any]] = [
            {
                "from": round(min(now_s - run.start_s, self._seconds), 2),
                "to": round(now_s - run.end_s, 2),
                "state": run.state,
                "reason": run.reason,
            }
            for run in self._runs
            if run.end_s >= now_s - self._seconds
        ]
        if rows and rows[-1]["to"] > self._silent_s:
            rows.append({"from": rows[-1]["to"], "to": 0.0, "state": "SILENT", "reason": ""})
        elif rows:
            rows[-1]["to"] = 0.0
        return rows
