"""From the wanted action to the executed one: limits, acceleration, blending, braking. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from apo_core.actions import ANGULAR, GRIPPER, LINEAR, OPEN, TWIST
from apo_core.contract.contract import Contract
from apo_core.types import ControlSource
from apo_teleop.motion.blending import Blend
from apo_teleop.motion.limits import NOTICEABLE, MotionLimits
from apo_teleop.motion.position_estimate import PositionEstimate


class AccelerationBudget:
    """How much a velocity may change now.

    It refills at the acceleration and holds what one control tick allows, so that a command between two ticks may
    follow at once, and yet the change within any time t is at most acceleration * (t + period).

    Args:
        key: name of the limit in the contract.
        part: which dimensions.
        acceleration: m/s^2 or rad/s^2; None: no limit.
        period_s: of the control ticks.
    """

    def __init__(self, key: str, part: slice, acceleration: float | None, period_s: float):
        self._key, self._part = key, part
        self._acceleration = math.inf if acceleration is None else acceleration
        self._left = self._largest = self._acceleration * period_s

    def refill(self, elapsed_s: float) -> None:
        """Time has passed."""
        if self._left < self._largest:
            self._left = min(self._largest, self._left + self._acceleration * elapsed_s)

    def limit(self, before: Sequence[float], action: list[float]) -> str:
        """Shortens the change of `action` (A,) in place; the limit's key if it did."""
        old, new = before[self._part], action[self._part]
        change = math.dist(old, new)
        if change <= self._left:
            return ""
        share = self._left / change
        action[self._part] = [begin + share * (end - begin) for begin, end in zip(old, new, strict=True)]
        return self._key if change > self._left + NOTICEABLE * self._largest else ""

    def spend(self, before: Sequence[float], action: Sequence[float]) -> None:
        """Notes the change that is executed."""
        self._left = max(0.0, self._left - math.dist(before[self._part], action[self._part]))


class MotionShaper:
    """Keeps what was executed last, and lets the next command follow from it within every limit.

    Args:
        contract: limits and rate.
        linear_deceleration, angular_deceleration: m/s^2, rad/s^2 at which HOLD ends a motion.
    """

    def __init__(self, contract: Contract, linear_deceleration: float, angular_deceleration: float):
        limits = contract.limits
        self._contract_limits, self._limits = limits, MotionLimits(contract)
        self._period_s = 1.0 / contract.rate_hz
        self._braking = ((LINEAR, linear_deceleration), (ANGULAR, angular_deceleration))
        self._budgets = (
            AccelerationBudget("limits.linear_acceleration", LINEAR, limits.linear_acceleration, self._period_s),
            AccelerationBudget("limits.angular_acceleration", ANGULAR, limits.angular_acceleration, self._period_s),
        )
        self.estimate = PositionEstimate()
        self._source = ControlSource.HOLD
        self._blend: Blend | None = None
        self.executed = [0.0] * contract.action.size  # (A,) contract units
        self._gripper_range = contract.action.low[GRIPPER], contract.action.high[GRIPPER]
        self.hold_gripper(OPEN)

    def hold_gripper(self, value: float) -> None:
        """What the gripper holds, -1 open .. 1 closed, where it was not commanded."""
        low, high = self._gripper_range
        self.executed[GRIPPER] = min(max(value, low), high)

    def drive(
        self, wanted: Sequence[float], source: ControlSource, now_ns: int, elapsed_s: float
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """The command that follows a wanted action, float32 (A,), and the contract keys of the limits that changed it.

        Args:
            wanted: (A,) finite, contract units.
            source: who wants it; POLICY or HUMAN.
            now_ns: time, on the clock of the poses' stamps; without any pose yet no workspace box applies.
            elapsed_s: since the command before.
        """
        action, clipped = self._limits.bound(wanted)
        advance_s = min(elapsed_s, self._period_s)
        if source is not self._source:
            # the first command counts for the whole period to come: it must not wait for the next tick
            self._source, advance_s = source, self._period_s
            self._blend = Blend(self.executed[TWIST], self._contract_limits)
        if self._blend is not None:
            action[TWIST], cause = self._blend.step(action[TWIST], advance_s)
            clipped += [cause] * bool(cause)
            if self._blend.done:
                self._blend = None
        return self._finish(action, clipped, now_ns, elapsed_s)

    def brake(self, now_ns: int, elapsed_s: float) -> tuple[np.ndarray, tuple[str, ...]]:
        """The command that ends the motion, the gripper as it is; arguments and result as of `drive`."""
        self._source, self._blend = ControlSource.HOLD, None
        action = list(self.executed)
        for part, rate in self._braking:
            speed = math.hypot(*action[part])
            left = max(0.0, 1.0 - rate * elapsed_s / speed) if speed > 1e-9 else 0.0
            action[part] = [value * left for value in action[part]]
        return self._finish(action, [], now_ns, elapsed_s)

    def stop(self, now_ns: int) -> np.ndarray:
        """The last command of all, float32 (A,): no motion at once, since no tick follows to brake in."""
        self._source, self._blend = ControlSource.HOLD, None
        self.executed[TWIST] = [0.0] * 6
        self.estimate.executed(self.executed, now_ns)
        return np.array(self.executed, np.float32)

    def _finish(
        self, action: list[float], clipped: list[str], now_ns: int, elapsed_s: float
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        for budget in self._budgets:
            budget.refill(elapsed_s)
            key = budget.limit(self.executed, action)
            if key and key not in clipped:
                clipped.append(key)
        # last: where the robot is nearer to the border than it can brake for, the border counts
        position = self.estimate.towards(action, now_ns)
        if position is not None:
            clipped += self._limits.keep_in_box(action, position)
        values = np.array(action, np.float32)
        action = values.tolist()
        for budget in self._budgets:
            budget.spend(self.executed, action)
        self.executed = action
        self.estimate.executed(action, now_ns)
        return values, tuple(clipped)
