"""What every operator device offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

AXES = ("x", "y", "z", "roll", "pitch", "yaw")  # REP 103: x forward, y left, z up, as seen by the operator


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """Raw state of a device."""

    stamp_ns: int  # clock of `poll`, when the newest report was read
    connected: bool
    axes: np.ndarray  # float64 (6,), AXES, share of full deflection; not clamped, zero when disconnected
    pressed: tuple[str, ...] = ()  # buttons pressed since the sample before
    events: tuple[str, ...] = ()  # OperatorEvent, from devices that name them themselves


class Device(Protocol):
    """A device that is read from one thread."""

    name: str
    problem: str  # why it is not connected, for people; empty while it is

    def poll(self, now_ns: int) -> DeviceSample | None:
        """The state if it has changed since the last call, else None; never blocks, never raises for a lost device."""

    def close(self) -> None:
        """Gives the device back; safe to call twice."""


def disconnected(now_ns: int) -> DeviceSample:
    """The sample of a device that is gone."""
    return DeviceSample(now_ns, False, np.zeros(6))
