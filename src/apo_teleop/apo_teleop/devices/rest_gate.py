"""Keeps a device that comes back deflected from taking over. Pure; time is passed in, nanoseconds."""

from __future__ import annotations

import numpy as np


class RestGate:
    """Opens once a device has been at rest for a while since it was connected.

    Args:
        rest: share of full deflection up to which an axis is at rest.
        settle_ns: how long all axes must be at rest.
    """

    def __init__(self, rest: float, settle_ns: int):
        self._rest, self._settle_ns = rest, settle_ns
        self.reset()

    def reset(self) -> None:
        """The device was lost: it must rest anew."""
        self.is_open = False
        self._since_ns: int | None = None

    def update(self, now_ns: int, axes: np.ndarray) -> None:
        """Receives the device's axes now, (6,) shares of full deflection."""
        if self.is_deflected(axes):
            self._since_ns = None
            return
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns >= self._settle_ns:
            self.is_open = True

    def is_deflected(self, axes: np.ndarray) -> bool:
        """Whether any axis is beyond rest."""
        return bool(np.max(np.abs(axes)) > self._rest)
