"""How far the child is, as a line that it prints after each change."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the uploads."""

    is_looking: bool = False  # False: it waits for the next look
    uploaded: int = 0  # episodes of the folder that the store has
    waiting: int = 0  # episodes of the folder that it is to get
    sent_bytes: int = 0  # since the child was started
    left_out: int = 0  # episodes of the folder that it does not get
    left_out_because: str = ""  # the first of them, and why
    fault: str = ""  # of the store, which is tried again; empty: none

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
