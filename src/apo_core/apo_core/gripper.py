"""The gripper's value in an action, and the position of its joint. Pure."""

from __future__ import annotations


class GripperScale:
    """Between the action's value, -1 open .. 1 closed, and a position [m]; float32 values come back as they were.

    Args:
        open_m, closed_m: positions at the two ends; they differ.
    """

    def __init__(self, open_m: float, closed_m: float):
        self._open, self._span = open_m, closed_m - open_m

    def position(self, value: float) -> float:
        """Position [m] of a value."""
        return self._open + 0.5 * (1.0 + float(value)) * self._span

    def value(self, position: float) -> float:
        """Value of a position [m]."""
        return 2.0 * (float(position) - self._open) / self._span - 1.0
