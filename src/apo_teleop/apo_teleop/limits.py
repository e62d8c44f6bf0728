"""Motion limits of the contract, and the ramp that ends a motion. Pure."""

from __future__ import annotations

import numpy as np

from apo_core.contract import Contract

TWIST = slice(0, 6)
LINEAR, ANGULAR = slice(0, 3), slice(3, 6)
GRIPPER = 6
_NOTICEABLE = 1e-5  # share of the limit; less is rounding and not reported


class MotionLimits:
    """Brings an action within every limit of the contract."""

    def __init__(self, contract: Contract):
        self._names = contract.action.names
        self._low = np.asarray(contract.action.low, np.float64)
        self._high = np.asarray(contract.action.high, np.float64)
        self._speeds = (
            ("limits.linear_speed", LINEAR, contract.limits.linear_speed),
            ("limits.angular_speed", ANGULAR, contract.limits.angular_speed),
        )
        self._box_low = np.asarray(contract.limits.workspace_low, np.float64)
        self._box_high = np.asarray(contract.limits.workspace_high, np.float64)
        self._period_s = 1.0 / contract.rate_hz

    def apply(self, values: np.ndarray, position: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
        """The nearest allowed action, float32 (A,), and the contract keys of the limits that changed it.

        Args:
            values: (A,) finite, contract units.
            position: (3,) m, end effector; None applies no workspace box.
        """
        wanted = np.asarray(values, np.float64)
        action = np.clip(wanted, self._low, self._high)
        span = _NOTICEABLE * (self._high - self._low)
        clipped = [f"action.high.{self._names[i]}" for i in np.flatnonzero(wanted > self._high + span)]
        clipped += [f"action.low.{self._names[i]}" for i in np.flatnonzero(wanted < self._low - span)]
        for key, part, limit in self._speeds:
            speed = float(np.linalg.norm(action[part]))
            if speed > limit:
                action[part] *= limit / speed
                if speed > limit * (1 + _NOTICEABLE):
                    clipped.append(key)
        if position is not None:
            clipped += self._keep_in_box(action, np.asarray(position, np.float64))
        return action.astype(np.float32), tuple(clipped)

    def _keep_in_box(self, action: np.ndarray, position: np.ndarray) -> list[str]:
        """Slows what would leave the box within a tick; at the border and beyond nothing leads further out."""
        clipped = []
        up = np.maximum(self._box_high - position, 0.0) / self._period_s
        down = np.maximum(position - self._box_low, 0.0) / self._period_s
        for i, axis in enumerate("xyz"):
            if action[i] > up[i] + _NOTICEABLE:
                clipped.append(f"limits.workspace_high.{axis}")
            elif action[i] < -down[i] - _NOTICEABLE:
                clipped.append(f"limits.workspace_low.{axis}")
            action[i] = np.clip(action[i], -down[i], up[i])
        return clipped


def decelerate(twist: np.ndarray, dt_s: float, linear: float, angular: float) -> np.ndarray:
    """The twist (6,) [m/s, rad/s] after braking for `dt_s` at `linear` [m/s^2] and `angular` [rad/s^2]."""
    slower = np.array(twist, np.float64)
    for part, rate in ((LINEAR, linear), (ANGULAR, angular)):
        speed = float(np.linalg.norm(slower[part]))
        slower[part] *= max(0.0, 1.0 - rate * dt_s / speed) if speed > 1e-9 else 0.0
    return slower
