"""Motion limits of the contract that hold for each command by itself: range, step, speed, workspace box. Pure.

The workspace box applies at the place that the tip may have reached by now (position_estimate), not at the last pose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from apo_core.actions import ANGULAR, LINEAR, shortened
from apo_core.contract.contract import Contract

NOTICEABLE = 1e-5  # share of the limit; less is rounding and not reported


class MotionLimits:
    """Brings an action within the limits of the contract. Plain floats: seven of them are faster than an array."""

    def __init__(self, contract: Contract):
        limits, names = contract.limits, contract.action.names
        self._period_s = 1.0 / contract.rate_hz
        self._range: list[tuple[float, float, float, str, str]] = []  # low, high, tolerance, key of each
        for i, (name, low, high) in enumerate(zip(names, contract.action.low, contract.action.high, strict=True)):
            keys = [f"action.low.{name}", f"action.high.{name}"]
            if limits.step is not None and i < len(limits.step):
                speed = limits.step[i] * contract.rate_hz
                if speed < high * (1 - NOTICEABLE):
                    high, keys[1] = speed, f"limits.step.{name}"
                if -speed > low * (1 - NOTICEABLE):
                    low, keys[0] = -speed, f"limits.step.{name}"
            self._range.append((low, high, NOTICEABLE * (high - low), keys[0], keys[1]))
        self._speeds = (
            ("limits.linear_speed", LINEAR, limits.linear_speed),
            ("limits.angular_speed", ANGULAR, limits.angular_speed),
        )
        self._box = tuple(zip("xyz", limits.workspace_low, limits.workspace_high, strict=True))
        # three axes may brake at once, and their norm is limited
        braking = limits.linear_acceleration
        self._braking = None if braking is None else braking / math.sqrt(3.0)

    def bound(self, values: Sequence[float]) -> tuple[list[float], list[str]]:
        """The action (A,) within range, step and speed, and the contract keys of the limits that changed it.

        Args:
            values: (A,) finite, contract units.
        """
        action, clipped = [], []
        for value, (low, high, tolerance, low_key, high_key) in zip(values, self._range, strict=True):
            if value > high:
                if value > high + tolerance:
                    clipped.append(high_key)
                value = high
            elif value < low:
                if value < low - tolerance:
                    clipped.append(low_key)
                value = low
            action.append(float(value))
        for key, part, limit in self._speeds:
            action[part], speed = shortened(action[part], limit)
            if speed > limit * (1 + NOTICEABLE):
                clipped.append(key)
        return action, clipped

    def keep_in_box(self, action: list[float], position: Sequence[float]) -> list[str]:
        """Slows, in place, what could not stop within the box; at the border and beyond nothing leads further out.

        Args:
            action: (A,) contract units.
            position: (3,) m, end effector, as PositionEstimate.towards gives it.

        Returns:
            Contract keys of the sides that changed it.
        """
        clipped = []
        for i, (axis, low, high) in enumerate(self._box):
            up, down = self._stoppable(high - position[i]), -self._stoppable(position[i] - low)
            if action[i] > up:
                if action[i] > up + NOTICEABLE:
                    clipped.append(f"limits.workspace_high.{axis}")
                action[i] = up
            elif action[i] < down:
                if action[i] < down - NOTICEABLE:
                    clipped.append(f"limits.workspace_low.{axis}")
                action[i] = down
        return clipped

    def _stoppable(self, distance: float) -> float:
        """The largest speed [m/s] that ends within `distance` [m] when each later tick brakes at the acceleration.

        With n whole decrements q = a * period, the way is period * ((n + 1) r + q n (n + 1) / 2) for the speed
        n q + r; solved for the speed.
        """
        if distance <= 0:
            return 0.0
        if self._braking is None:
            return distance / self._period_s
        decrement = self._braking * self._period_s
        ticks = distance / self._period_s / decrement
        n = math.floor((math.sqrt(1.0 + 8.0 * ticks) - 1.0) / 2.0)
        return decrement * (n + (ticks - n * (n + 1) / 2.0) / (n + 1))
