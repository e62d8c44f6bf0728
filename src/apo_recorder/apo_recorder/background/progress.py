"""How far the child is, as a line that it prints after each change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the work; counts are of episodes in the folder."""

    is_looking: bool = False  # False: it waits for the next look
    uploaded: int = 0  # that the store has
    waiting: int = 0  # that it is to get
    sent_bytes: int = 0  # since the child was started
    left_out: int = 0  # that the store does not get
    left_out_because: str = ""  # the first of them, and why
    fault: str = ""  # of the store, which is tried again; empty: none
    video: int = 0  # whose images are video
    lossless: int = 0  # whose images are to become video
    kept: int = 0  # that stay as they are, after their images were looked at
    kept_because: str = ""  # the first of them, and why
    saved_bytes: int = 0  # by video, since the child was started
    video_fault: str = ""  # of the machine or a file, which is tried again; empty: none

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Progress | None:
        """The reverse of `to_json`; None for what a library has printed."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return None


class ProgressReport:
    """The progress of one child, of which its parts change their fields.

    Args:
        report: takes each new state.
    """

    def __init__(self, report: Callable[[Progress], None]):
        self._report = report
        self.newest = Progress()

    def show(self, **changes: Any) -> None:
        """Changes fields, and reports the whole; without any it reports that the child is alive."""
        self.newest = replace(self.newest, **changes)
        self._report(self.newest)
