"""From one twist to another along a minimum-jerk profile. Pure.

Flash & Hogan, "The coordination of arm movements", J. Neuroscience 5 (1985): s(t) = 10 t^3 - 15 t^4 + 6 t^5. For a
change of velocity dv within T its peak acceleration is 1.875 dv / T and its peak jerk 10 / sqrt(3) dv / T^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from apo_core.actions import ANGULAR, LINEAR
from apo_core.contract.specs import Limits
from apo_teleop.motion.limits import NOTICEABLE

_PEAK_ACCELERATION = 1.875
_PEAK_JERK = 10.0 / math.sqrt(3.0)


def minimum_jerk(phase: float) -> float:
    """Share of the way at a share of the time, both 0..1."""
    phase = min(1.0, max(0.0, phase))
    return phase * phase * phase * (10.0 + phase * (6.0 * phase - 15.0))


def blend_duration(change: float, acceleration: float | None, jerk: float | None) -> tuple[float, bool]:
    """Shortest time [s] for a change of velocity, and whether it is the jerk that asks for it.

    Args:
        change: m/s or rad/s, not negative.
        acceleration, jerk: limits in the same unit per s and s^2; None: none.
    """
    by_acceleration = 0.0 if acceleration is None else _PEAK_ACCELERATION * change / acceleration
    by_jerk = 0.0 if jerk is None else math.sqrt(_PEAK_JERK * change / jerk)
    return max(by_acceleration, by_jerk), by_jerk >= by_acceleration


class Blend:
    """One change of hands: from a fixed twist to a target that may move on meanwhile.

    Args:
        start: (6,) m/s, rad/s, the twist executed last.
        limits: acceleration and jerk; without any the blend takes no time.
    """

    def __init__(self, start: Sequence[float], limits: Limits):
        self._start = list(start)
        self._parts = (
            (LINEAR, "linear", limits.linear_acceleration, limits.linear_jerk),
            (ANGULAR, "angular", limits.angular_acceleration, limits.angular_jerk),
        )
        self._duration_s, self._cause = 0.0, ""
        self._phase = 0.0

    @property
    def done(self) -> bool:
        """Whether the target is reached."""
        return self._phase >= 1.0

    def step(self, target: Sequence[float], advance_s: float) -> tuple[list[float], str]:
        """The twist (6,) `advance_s` later, and the contract key of the limit that keeps it from the target."""
        for part, name, acceleration, jerk in self._parts:
            change = math.dist(target[part], self._start[part])
            duration_s, by_jerk = blend_duration(change, acceleration, jerk)
            # a target that moves away makes the rest of the blend longer, never faster
            if duration_s > self._duration_s:
                self._duration_s = duration_s
                self._cause = f"limits.{name}_{'jerk' if by_jerk else 'acceleration'}"
        self._phase = 1.0 if self._duration_s <= 0.0 else min(1.0, self._phase + advance_s / self._duration_s)
        share = minimum_jerk(self._phase)
        twist = [begin + share * (end - begin) for begin, end in zip(self._start, target, strict=True)]
        return twist, self._cause if math.dist(twist, target) > NOTICEABLE else ""
