"""Layout of an action: a twist of the end effector, the gripper, then further dimensions of the contract. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

TWIST = slice(0, 6)
LINEAR, ANGULAR = slice(0, 3), slice(3, 6)  # m/s, rad/s
GRIPPER = 6
SIZE = 7  # of twist and gripper, the least of a contract
OPEN, CLOSED = -1.0, 1.0  # values of the gripper


def shortened(vector: Sequence[float], length: float) -> tuple[list[float], float]:
    """The vector (n,), scaled down to `length` where it is longer, and its own length. Plain floats."""
    norm = math.hypot(*vector)
    return [value * length / norm for value in vector] if norm > length else list(vector), norm


def shortened_array(vector: np.ndarray, length: float) -> np.ndarray:
    """`shortened` of an array (n,): float64 (n,)."""
    return np.array(shortened(vector.tolist(), length)[0], np.float64)


def normalised_dimensions(size: int) -> list[bool]:
    """Mask (size,) of the dimensions that statistics normalise: all but the gripper, which passes through."""
    return [dimension != GRIPPER for dimension in range(size)]


class GripperScale:
    """Converts between the gripper's value, -1 open .. 1 closed, and a position [m]; float32 values survive exactly.

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
