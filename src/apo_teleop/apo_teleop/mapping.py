"""From raw deflection to motion in the units of the contract. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apo_core.config import parameter
from apo_core.errors import ConfigError
from apo_teleop.arbiter_types import OperatorEvent
from apo_teleop.devices.device import AXES, DeviceSample

_EVENTS = frozenset(OperatorEvent)


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """How deflection becomes motion. Raises ConfigError with every fault found."""

    dead_zone: float = parameter(0.05, "share of full deflection per axis that does nothing", low=0.0, high=0.9)
    expo: float = parameter(0.4, "0: linear, 1: cubic, finer around the centre", low=0.0, high=1.0)
    linear_scale: float = parameter(0.4, "m/s at full deflection", low=0.001, high=10.0)
    angular_scale: float = parameter(1.5, "rad/s at full deflection", low=0.001, high=100.0)
    activity_on: float = parameter(0.12, "largest deflection of an axis at which the operator acts", low=0.0, high=1.0)
    activity_off: float = parameter(0.06, "deflection below which an acting operator rests", low=0.0, high=1.0)
    axis_map: tuple = parameter(
        tuple(f"+{axis}" for axis in AXES),
        "device axis and sign for each of vx vy vz wx wy wz, such as -pitch; 0 for none",
    )
    buttons: tuple = parameter(
        ("0=gripper_toggle", "1=hand_back"), "role of a button, number=event: " + ", ".join(OperatorEvent)
    )

    def __post_init__(self):
        faults = []
        if self.activity_off > self.activity_on:
            faults.append(f"activity_off = {self.activity_off} must be at most activity_on = {self.activity_on}")
        if len(self.axis_map) != 6 or not all(entry == "0" or _is_axis(entry) for entry in self.axis_map):
            faults.append(f"axis_map = {list(self.axis_map)} must be six of +-{'|'.join(AXES)} or 0")
        for entry in self.buttons:
            number, separator, event = str(entry).partition("=")
            if not separator or not number or event not in _EVENTS:
                faults.append(f"buttons: {entry!r} is not number=event with an event of {sorted(_EVENTS)}")
        if faults:
            raise ConfigError("config/teleop.yaml", faults)


@dataclass(frozen=True, slots=True)
class OperatorSample:
    """What the operator wants, in contract units."""

    connected: bool
    active: bool
    values: np.ndarray  # float32 (7,): vx vy vz m/s, wx wy wz rad/s, gripper; gripper 0 leaves it as it is
    events: tuple[str, ...] = ()  # OperatorEvent


class AxisMapping:
    """Dead zone, curve, scale, axes and button roles of one device; remembers whether the operator is acting."""

    def __init__(self, config: MappingConfig):
        self._config = config
        self._matrix = np.zeros((6, 6))
        for row, entry in enumerate(config.axis_map):
            if entry != "0":
                self._matrix[row, AXES.index(entry[1:])] = -1.0 if entry[0] == "-" else 1.0
        self._scale = np.repeat([config.linear_scale, config.angular_scale], 3)
        self._roles = dict(str(entry).split("=") for entry in config.buttons)
        self._active = False

    def apply(self, sample: DeviceSample) -> OperatorSample:
        """Maps a sample; a resting or lost device gives no motion."""
        if not sample.connected:
            self._active = False
            return OperatorSample(False, False, np.zeros(7, np.float32))
        axes = np.clip(sample.axes, -1.0, 1.0)
        threshold = self._config.activity_off if self._active else self._config.activity_on
        self._active = bool(np.max(np.abs(axes)) > threshold)
        values = np.zeros(7, np.float32)
        if self._active:
            values[:6] = self._matrix @ self._curve(axes) * self._scale
        roles = tuple(self._roles[button] for button in sample.pressed if button in self._roles)
        return OperatorSample(True, self._active, values, (*roles, *sample.events))

    def _curve(self, axes: np.ndarray) -> np.ndarray:
        zone, expo = self._config.dead_zone, self._config.expo
        beyond = np.sign(axes) * np.maximum(np.abs(axes) - zone, 0.0) / (1.0 - zone)
        return (1.0 - expo) * beyond + expo * beyond**3


def _is_axis(entry: object) -> bool:
    return isinstance(entry, str) and entry[:1] in ("+", "-") and entry[1:] in AXES
