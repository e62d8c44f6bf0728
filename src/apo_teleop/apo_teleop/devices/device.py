"""What every operator device offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from apo_core.types import OperatorEvent

AXES = ("vx", "vy", "vz", "wx", "wy", "wz")  # REP 103: x forward, y left, z up, as seen by the operator


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """State of a device."""

    stamp_ns: int  # clock of `poll`: when the device reported this
    connected: bool
    axes: np.ndarray  # float64 (6,), AXES, share of full deflection; not clamped, zero when disconnected
    events: tuple[OperatorEvent, ...] = ()  # of the buttons pressed since the sample before
    held: bool = False  # the operator has not let go, though no axis is deflected


class Device(Protocol):
    """A device that is read from one thread."""

    name: str
    problem: str  # what keeps it from being used, for people; empty if nothing

    def poll(self, now_ns: int) -> DeviceSample | None:
        """The state if the device has reported one since the last call, else None; never blocks, never raises.

        Args:
            now_ns: steady time.
        """

    def close(self) -> None:
        """Gives the device back; safe to call twice."""


def disconnected(now_ns: int, events: Sequence[OperatorEvent] = ()) -> DeviceSample:
    """The sample of a device that is gone; of the buttons pressed last an emergency stop alone counts."""
    return DeviceSample(now_ns, False, np.zeros(6), tuple(e for e in events if e == OperatorEvent.ESTOP))
