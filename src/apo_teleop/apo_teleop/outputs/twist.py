"""The executed twist itself, for controllers that take one. Pure."""

from __future__ import annotations

import numpy as np

from apo_teleop.outputs.base import ArmOutput


class TwistOutput(ArmOutput):
    """The command itself: (6,) float64, m/s and rad/s."""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray:
        """See ArmOutput."""
        return np.asarray(twist, np.float64)
