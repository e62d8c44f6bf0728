"""Steps of the ROS clock, found by comparing the stamps of observations with the steady time of their arrival. Pure."""

from __future__ import annotations

from collections import deque

# Above any delay of a driver. Simulated time may run slower than steady time, never by so much faster at once.
_STEP_NS = 1_000_000_000
_COMPARED = 20  # observations; more than arrive late in a row, few enough for a simulation that falls behind
SET_BACK, SET_FORWARD = "clock_set_back", "clock_set_forward"


class ClockSteps:
    """Compares each observation with those before.

    Attributes:
        count: steps so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._stamp_ns = -1
        # stamp less arrival of the last observations: less for one that arrives late, more than all only after a step
        self._ahead_ns: deque[int] = deque(maxlen=_COMPARED)

    def add(self, stamp_ns: int, receive_ns: int) -> str:
        """Takes an observation's stamp and steady arrival; returns SET_BACK, SET_FORWARD or ""."""
        ahead_ns, step = stamp_ns - receive_ns, ""
        if self._ahead_ns:
            if stamp_ns < self._stamp_ns - _STEP_NS:
                step = SET_BACK
            elif ahead_ns > max(self._ahead_ns) + _STEP_NS:
                step = SET_FORWARD
        if step:
            self.count += 1
            self._ahead_ns.clear()
        self._stamp_ns = stamp_ns
        self._ahead_ns.append(ahead_ns)
        return step
