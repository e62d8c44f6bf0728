"""What stays until a person clears it: a fault that latches, and the emergency stop. Pure; time is passed in."""

from __future__ import annotations

from typing import NamedTuple

from apo_core.types import OperatorEvent
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.transitions import Transition
from apo_teleop.arbiter.types import ArbiterInputs, OperatorInput, Reason


class Clearance(NamedTuple):
    """The answer to a request to clear."""

    cleared: str  # what was latched; empty if nothing was, or if it was rejected
    rejected: str = ""  # why it stays latched

    @property
    def text(self) -> str:
        """The answer in words, for people."""
        return self.rejected or (f"cleared {self.cleared}" if self.cleared else "nothing was latched")


class Latch:
    """Holds from a requested stop, or a transition that latches, until it is cleared.

    Args:
        config: largest age of a clear button, tolerance of stamps ahead.
    """

    def __init__(self, config: ArbiterConfig):
        self._stale_ns = round(config.operator_stale_s * 1e9)
        self._future_ns = round(config.future_tolerance_s * 1e9)
        self.reason: Reason | None = None  # what is latched
        self._since_ns = 0
        self._stop_requested = False
        self._stop_held = False  # a publisher keeps requesting a stop

    @property
    def holds(self) -> bool:
        """Whether nobody may drive."""
        return self.reason is not None or self._stop_requested

    @property
    def estopped(self) -> bool:
        """Whether an emergency stop is requested or latched."""
        return self._stop_requested or self.reason is Reason.ESTOP

    def stop(self) -> None:
        """Emergency stop from the next step on, until cleared."""
        self._stop_requested = True

    def clear(self, stop_held: bool | None = None) -> Clearance:
        """Ends what is latched, unless a publisher keeps requesting a stop.

        Args:
            stop_held: whether one does now; None: as at the last update.
        """
        if stop_held is not None:
            self._stop_held = stop_held
        if self._stop_held:
            return Clearance("", "a publisher on the topic estop requests a stop")
        cleared, self.reason = self.reason, None
        return Clearance(cleared or "")

    def update_latch(self, now_ns: int, inputs: ArbiterInputs) -> None:
        """Clears and stops as the inputs request; a stop wins."""
        self._stop_held = inputs.estop
        self._since_ns = min(self._since_ns, now_ns)  # time that starts over must not keep the button from clearing
        sample = inputs.operator
        events = sample.events if sample is not None else ()
        if sample is not None and OperatorEvent.CLEAR in events and self._is_timely(now_ns, sample, inputs.duplicate):
            self.clear()
        if inputs.estop or OperatorEvent.ESTOP in events:
            self.stop()

    def _is_timely(self, now_ns: int, sample: OperatorInput, duplicate: str) -> bool:
        """Whether a clear button is for what is latched now: a delayed one was pressed for an earlier fault."""
        stamp_ns = sample.stamp_ns if sample.clear_stamp_ns is None else sample.clear_stamp_ns
        age_ns = now_ns - stamp_ns
        fresh = -self._future_ns <= age_ns <= self._stale_ns and stamp_ns >= self._since_ns
        return fresh and not duplicate

    def holding(self) -> set[Reason]:
        """What holds because of it."""
        holds = {Reason.ESTOP: self._stop_requested, Reason.LATCHED: self.reason is not None}
        return {reason for reason, held in holds.items() if held}

    def follow(self, row: Transition, now_ns: int) -> Reason:
        """Latches, or not, by the row of this step; returns the reason of the step."""
        reason = row.published or self.reason
        assert reason is not None  # the one row that publishes no reason of its own needs a latched one
        # a clear button that was pressed while a publisher still requested the stop does not end it afterwards
        if row.latches and (self.reason is not reason or self._stop_held):
            self._since_ns = now_ns
        self.reason = reason if row.latches else None
        self._stop_requested = False
        return reason
