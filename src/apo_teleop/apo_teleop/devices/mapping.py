"""From deflection to motion in the units of the contract. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apo_core.actions import SIZE, TWIST
from apo_core.config.parameters import parameter
from apo_core.errors import ConfigError
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import DeviceSample


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """How deflection becomes motion. Raises ConfigError with every fault found."""

    dead_zone: float = parameter(0.05, "share of full deflection per axis that does nothing", low=0.0, high=0.9)
    expo: float = parameter(0.4, "0: linear, 1: cubic, finer around the centre", low=0.0, high=1.0)
    linear_scale: float = parameter(0.4, "m/s at full deflection", low=0.001, high=10.0)
    angular_scale: float = parameter(1.5, "rad/s at full deflection", low=0.001, high=100.0)
    activity_on: float = parameter(
        0.12, "largest deflection of an axis beyond which the operator acts", low=0.0, high=0.9
    )
    activity_off: float = parameter(0.06, "deflection up to which an acting operator rests", low=0.0, high=0.9)

    def __post_init__(self) -> None:
        if self.activity_off > self.activity_on:
            raise ConfigError(
                "config/teleop.yaml",
                [f"activity_off = {self.activity_off} must be at most activity_on = {self.activity_on}"],
            )


@dataclass(frozen=True, slots=True)
class OperatorSample:
    """The operator's action, in contract units."""

    connected: bool
    active: bool
    values: np.ndarray  # float32 (7,): vx vy vz m/s, wx wy wz rad/s, gripper; gripper 0 leaves it as it is
    events: tuple[OperatorEvent, ...] = ()
    stamp_ns: int = 0  # clock of the device's `poll`: when this was so


class AxisMapping:
    """Dead zone, curve and scale; remembers whether the operator is acting."""

    def __init__(self, config: MappingConfig):
        self._config = config
        self._scale = np.repeat([config.linear_scale, config.angular_scale], 3)
        self._active = False

    def apply(self, sample: DeviceSample) -> OperatorSample:
        """Maps a sample; a resting or lost device gives no motion."""
        values = np.zeros(SIZE, np.float32)
        if not sample.connected:
            self._active = False
            return OperatorSample(False, False, values, sample.events, sample.stamp_ns)
        axes = np.clip(sample.axes, -1.0, 1.0)
        deflection = np.max(np.abs(axes))
        threshold = self._config.activity_off if self._active else self._config.activity_on
        moves = bool(deflection > threshold)
        if moves:
            values[TWIST] = self._curve(axes) * self._scale
        self._active = moves or (sample.held and self._active)
        return OperatorSample(True, self._active, values, sample.events, sample.stamp_ns)

    def _curve(self, axes: np.ndarray) -> np.ndarray:
        zone, expo = self._config.dead_zone, self._config.expo
        beyond = np.sign(axes) * np.maximum(np.abs(axes) - zone, 0.0) / (1.0 - zone)
        return (1.0 - expo) * beyond + expo * beyond**3
