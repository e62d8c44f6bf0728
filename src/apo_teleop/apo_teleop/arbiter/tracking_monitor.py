"""Whether the robot follows its commands. Pure; steady time is passed in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apo_core.actions import ANGULAR, LINEAR
from apo_teleop.arbiter.config import ArbiterConfig


class TrackingMonitor:
    """Compares the commanded with the measured speed, of translation and of rotation.

    Args:
        config: following_s (0: off), following_share, following_speed, following_angular_speed.
    """

    def __init__(self, config: ArbiterConfig):
        self._limit_ns = round(config.following_s * 1e9)
        self._share = config.following_share
        self._parts = (
            ("m/s", LINEAR, config.following_speed),
            ("rad/s", ANGULAR, config.following_angular_speed),
        )
        self.reset()

    def reset(self) -> None:
        """Nobody drives: braking is not checked."""
        self._since_ns: list[int | None] = [None, None]

    def check_tracking(self, commanded: Sequence[float], measured: Sequence[float], steady_ns: int) -> str:
        """Empty, or how the robot has not followed for longer than following_s.

        Args:
            commanded, measured: (6,) m/s, rad/s.
        """
        if not self._limit_ns:
            return ""
        found = ""
        for i, (unit, part, threshold) in enumerate(self._parts):
            since_ns = self._since_ns[i]
            wanted, reached = math.hypot(*commanded[part]), math.hypot(*measured[part])
            if wanted <= threshold or reached >= self._share * wanted:
                self._since_ns[i] = None
            elif since_ns is None or since_ns > steady_ns:
                self._since_ns[i] = steady_ns
            elif steady_ns - since_ns > self._limit_ns:
                found = f"commanded {wanted:.3f} {unit}, measured {reached:.3f}"
        return found
