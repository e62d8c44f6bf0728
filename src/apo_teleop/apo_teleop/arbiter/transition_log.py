"""Which changes of the arbiter's state are logged at once, and which are counted. Pure; steady time is passed in."""

from __future__ import annotations

from collections import Counter, deque

from apo_teleop.arbiter.types import ControlState, Decision

_AT_ONCE = 3  # lines about one reason in a window; a policy on a slow machine comes and goes many times a second
_WINDOW_NS = 10_000_000_000
_ALWAYS = (ControlState.HUMAN, ControlState.ESTOP)


class TransitionLog:
    """Passes on every takeover, stop and latched fault, and of other reasons the first few in a window."""

    def __init__(self) -> None:
        self._logged: dict[str, deque[int]] = {}
        self._counts: Counter[str] = Counter()  # changes that were not logged, by reason
        self._lasted_ns: Counter[str] = Counter()  # theirs
        self._counted: tuple[str, int] | None = None  # reason and begin of the state of now, if it was not logged
        self._since_ns = 0  # first change that was not logged

    def on_change(self, decision: Decision, steady_ns: int) -> str:
        """The line about a new state or reason; empty: it is counted."""
        self._end_counted(steady_ns)
        logged = self._logged.setdefault(decision.reason, deque(maxlen=_AT_ONCE))
        is_often = len(logged) == _AT_ONCE and steady_ns - logged[0] < _WINDOW_NS
        if is_often and not decision.latched and decision.state not in _ALWAYS:
            if not self._counts:
                self._since_ns = steady_ns
            self._counts[decision.reason] += 1
            self._counted = decision.reason, steady_ns
            return ""
        logged.append(steady_ns)
        return decision.text

    def counted(self, steady_ns: int) -> str:
        """A line about what was not logged, once a window has passed since it began; empty: nothing."""
        if not self._counts or steady_ns - self._since_ns < _WINDOW_NS:
            return ""
        self._end_counted(steady_ns)
        parts = [f"{reason} {n} times, {self._lasted_ns[reason] * 1e-9:.1f} s" for reason, n in self._counts.items()]
        text = f"not logged in the last {(steady_ns - self._since_ns) * 1e-9:.0f} s: {'; '.join(parts)}"
        self._counts.clear()
        self._lasted_ns.clear()
        return text

    def _end_counted(self, steady_ns: int) -> None:
        if self._counted is not None:
            reason, begin_ns = self._counted
            self._lasted_ns[reason] += steady_ns - begin_ns
        self._counted = None
