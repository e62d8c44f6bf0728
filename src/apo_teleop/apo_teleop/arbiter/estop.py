"""What the publishers of the emergency stop topic say, taken together. Pure; steady time is passed in."""

from __future__ import annotations

STOP_HOLD_NS = 2_000_000_000  # of several publishers, a message of true counts this long, whatever others say


class EstopSignal:
    """Messages of any number of publishers, which cannot be told apart: one that says true must not be talked over."""

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
        """How many publishers there are; what a publisher that is gone said last no longer counts."""
        self._publishers = publishers
        if not publishers:
            self._newest, self._true_ns = False, None

    def held(self, steady_ns: int) -> bool:
        """Whether somebody says stop now."""
        recent = self._true_ns is not None and steady_ns - self._true_ns < STOP_HOLD_NS
        return self._newest or (self._publishers != 1 and recent)
