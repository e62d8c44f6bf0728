"""Steps of the ROS clock, found by comparing the stamps of observations with the steady time of their arrival. Pure."""

from __future__ import annotations

# Above any delay of a driver. Simulated time may run slower than steady time, never by so much faster at once.
_STEP_NS = 1_000_000_000
SET_BACK, SET_FORWARD = "clock_set_back", "clock_set_forward"


class ClockSteps:
    """Compares each observation with the one before.

    Attributes:
        count: steps so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._stamp_ns = self._receive_ns = -1

    def add(self, stamp_ns: int, receive_ns: int) -> str:
        """Takes an observation's stamp and steady arrival; returns SET_BACK, SET_FORWARD or ""."""
        is_first = self._stamp_ns < 0
        passed_ns, steady_ns = stamp_ns - self._stamp_ns, receive_ns - self._receive_ns
        self._stamp_ns, self._receive_ns = stamp_ns, receive_ns
        if is_first or -_STEP_NS <= passed_ns <= steady_ns + _STEP_NS:
            return ""
        self.count += 1
        return SET_BACK if passed_ns < 0 else SET_FORWARD
