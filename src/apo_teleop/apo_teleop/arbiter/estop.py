"""State of the emergency stop topic, over all its publishers. Pure; steady time is passed in."""

from __future__ import annotations

STOP_HOLD_NS = 2_000_000_000  # with several publishers, a true holds for this long, whatever the others send


class EstopSignal:
    """Messages of any number of publishers, which do not identify themselves: a false must not undo another's true."""

    def __init__(self) -> None:
        self._newest = False
        self._true_ns: int | None = None
        self._publishers = 0

    def on_message(self, stop: bool, steady_ns: int) -> None:
        """A message arrived."""
        self._newest = stop
        if stop:
            self._true_ns = steady_ns

    def count(self, publishers: int) -> None:
        """How many publishers there are; the last message of one that is gone no longer counts."""
        self._publishers = publishers
        if not publishers:
            self._newest, self._true_ns = False, None

    def held(self, steady_ns: int) -> bool:
        """Whether a stop is requested now."""
        recent = self._true_ns is not None and steady_ns - self._true_ns < STOP_HOLD_NS
        return self._newest or (self._publishers != 1 and recent)
