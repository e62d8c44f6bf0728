"""When the arbiter must publish, and how often it failed to. Pure; steady time is passed in, nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

_GAP_PERIODS = 1.5  # between two commands; more is a missed tick


class TimerCadence:
    """Counts the ticks that a timer missed."""

    def __init__(self, period_ns: int):
        self.missed = 0
        self._period_ns = period_ns
        self._last_ns: int | None = None

    def tick(self, steady_ns: int) -> None:
        """A command goes out, on the timer or at once."""
        if self._last_ns is not None:
            gap = (steady_ns - self._last_ns) / self._period_ns
            if gap > _GAP_PERIODS:
                self.missed += round(gap) - 1
        self._last_ns = steady_ns


@dataclass(frozen=True, slots=True)
class LockstepTick:
    """A tick to answer now."""

    stamp_ns: int  # of its observation, simulated time
    late: tuple[str, ...]  # who has not answered: policy, operator


class LockstepGate:
    """Holds a tick until policy and operator have answered its observation, or the deadline has passed.

    A newer observation replaces one that waits: the simulation has moved on by itself.
    """

    def __init__(self, deadline_ns: int):
        self.missed = 0
        self._deadline_ns = deadline_ns
        self._pending: tuple[int, int] | None = None  # stamp, arrival
        self._newest_ns = -1
        self._answered = {"policy": -1, "operator": -1}

    def observe(self, stamp_ns: int, steady_ns: int) -> bool:
        """An observation arrived; returns whether it repeats one that was answered already."""
        if stamp_ns == self._newest_ns:
            return self._pending is None
        if stamp_ns < self._newest_ns:
            # time starts over: earlier answers do not belong to this observation
            for name, answered_ns in self._answered.items():
                if answered_ns > stamp_ns:
                    self._answered[name] = -1
        self._newest_ns = stamp_ns
        self._pending = (stamp_ns, steady_ns)
        return False

    def answer(self, name: str, stamp_ns: int) -> None:
        """`policy` or `operator` has answered every observation up to a stamp."""
        self._answered[name] = stamp_ns

    def take(self, steady_ns: int) -> LockstepTick | None:
        """The tick that is due, once."""
        if self._pending is None:
            return None
        stamp_ns, receive_ns = self._pending
        late = tuple(name for name, answered_ns in self._answered.items() if answered_ns < stamp_ns)
        if late and steady_ns - receive_ns < self._deadline_ns:
            return None
        self._pending = None
        self.missed += bool(late)
        return LockstepTick(stamp_ns, late)
