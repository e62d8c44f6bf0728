"""Which way a device's axes move the robot and what its buttons mean, one line of YAML a model. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.config.parameters import parameter
from apo_core.errors import ConfigError
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import AXES

DEFAULT = "default"  # line of every SpaceMouse that has none of its own
# Axes of a SpaceMouse as it reports them (USB HID Usage Tables 1.4, section 4.2): x right, y towards the operator,
# z down; rx ry rz turn about them, right-handed.
HID_AXES = ("x", "y", "z", "rx", "ry", "rz")

_NONE = "none"
_TERM = re.compile(r"([+-])(x|y|z|rx|ry|rz|b?\d+)")
_ENTRY = re.compile(rf"(?:{_TERM.pattern})+")
_EVENTS = frozenset(OperatorEvent)
_HID_TO_REP_103 = "-y -x -z -ry -rx -rz"


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """Axis maps and button roles, one line a model. Raises ConfigError with every fault found."""

    axis_maps: tuple[str, ...] = parameter(
        (
            f"default: {_HID_TO_REP_103}",
            f"SpaceNavigator: {_HID_TO_REP_103}",
            f"SpaceMouseCompact: {_HID_TO_REP_103}",
            f"SpaceMouseWireless: {_HID_TO_REP_103}",
            f"SpaceMousePro: {_HID_TO_REP_103}",
            f"UniversalReceiver: {_HID_TO_REP_103}",
            "spacenav: +0 +1 +2 +3 +4 +5",
            "gamepad: +1 +0 +3 +b14-b13 +b11-b12 +2",
            "xpad: +1 +0 +4 -6 +7 +3",
        ),
        "model or joystick preset: what moves vx vy vz wx wy wz; a sum of signed axes (of a SpaceMouse x y z rx ry rz, "
        "of a joystick 0 1 ..) and joystick buttons (b0 b1 ..), or none",
    )
    button_roles: tuple[str, ...] = parameter(
        (
            "default: LEFT=gripper_toggle RIGHT=hand_back BTN_1=gripper_toggle BTN_2=hand_back TOP=start"
            " BTN_3=success BTN_4=failure ALT=discard CTRL=undo_last ESC=estop MENU=clear",
            "UniversalReceiver: MENU=gripper_toggle FIT=hand_back BTN_1=gripper_toggle BTN_2=hand_back TOP=start"
            " BTN_3=success BTN_4=failure ALT=discard CTRL=undo_last ESC=estop SHIFT=clear",
            "spacenav: 0=gripper_toggle 1=hand_back",
            "gamepad: 0=gripper_toggle 1=estop 2=hand_back 9=start 3=success 4=failure 10=discard 5=undo_last 6=clear",
            "xpad: 0=gripper_toggle 1=estop 2=hand_back 4=start 3=success 6=failure 5=discard 8=undo_last 7=clear",
        ),
        "model or joystick preset: role of each button, by name (SpaceMouse) or number; roles: "
        + ", ".join(OperatorEvent),
    )

    def __post_init__(self) -> None:
        faults: list[str] = []
        for name, entries in _lines("axis_maps", self.axis_maps, faults).items():
            if len(entries) != len(AXES) or not all(e == _NONE or _ENTRY.fullmatch(e) for e in entries):
                faults.append(
                    f"axis_maps: {name}: {' '.join(entries)!r} must be six of signed axes, such as -y, or none"
                )
        for name, entries in _lines("button_roles", self.button_roles, faults).items():
            for entry in entries:
                button, separator, event = entry.partition("=")
                if not separator or not button or event not in _EVENTS:
                    faults.append(
                        f"button_roles: {name}: {entry!r} is not button=role with a role of {sorted(_EVENTS)}"
                    )
        if faults:
            raise ConfigError("config/teleop.yaml", faults)


class AxisMap:
    """Signed sums of a device's own axes and buttons.

    Args:
        entries: six, one for each of AXES.
    """

    def __init__(self, entries: Sequence[str]):
        self._terms = [
            (row, 1.0 if sign == "+" else -1.0, name.startswith("b"), _index(name))
            for row, entry in enumerate(entries)
            for sign, name in _TERM.findall(entry)
        ]

    @property
    def size(self) -> int:
        """Number of axes that a device must at least have."""
        return max((index + 1 for *_, is_button, index in self._terms if not is_button), default=0)

    def apply(self, axes: Sequence[float], buttons: Mapping[int, int] | None = None) -> np.ndarray:
        """float64 (6,): AXES, share of full deflection.

        Args:
            axes: the device's own, `size` at least.
            buttons: 1 for each that is pressed; one that is missing is not.
        """
        out = np.zeros(len(AXES))
        for row, sign, is_button, index in self._terms:
            out[row] += sign * ((buttons or {}).get(index, 0) if is_button else axes[index])
        return out


@dataclass(frozen=True, slots=True)
class Profile:
    """One model or preset."""

    axes: AxisMap
    roles: Mapping[str, OperatorEvent]  # by button

    def role(self, button: str) -> OperatorEvent:
        """What a press of the button means; of one without a role only that somebody is there."""
        return self.roles.get(button, OperatorEvent.PRESENT)


class Profiles:
    """The lines of a ProfileConfig by name."""

    def __init__(self, config: ProfileConfig):
        self._maps = _lines("axis_maps", config.axis_maps, [])
        self._roles = _lines("button_roles", config.button_roles, [])

    def has(self, name: str) -> bool:
        """Whether there is an axis map of that name."""
        return name in self._maps

    def get(self, name: str, size: int) -> Profile:
        """The profile of a model; without a line of its own, `default` counts.

        Args:
            name: model or preset.
            size: number of axes that it has.

        Raises:
            ConfigError: there is no line `default` either, or the map names an axis that the model lacks.
        """
        entries = self._maps.get(name, self._maps.get(DEFAULT))
        if entries is None:
            raise ConfigError("config/teleop.yaml", [f"axis_maps has neither a line {name!r} nor one {DEFAULT!r}"])
        roles = self._roles.get(name, self._roles.get(DEFAULT, []))
        axes = AxisMap(entries)
        if axes.size > size:
            raise ConfigError(
                "config/teleop.yaml", [f"axis_maps: {name}: names axis {axes.size - 1}, but the last one is {size - 1}"]
            )
        buttons = (entry.split("=", 1) for entry in roles)
        return Profile(axes, {button: OperatorEvent(role) for button, role in buttons})


def _index(name: str) -> int:
    return HID_AXES.index(name) if name in HID_AXES else int(name.removeprefix("b"))


def _lines(parameter_name: str, lines: Sequence[str], faults: list[str]) -> dict[str, list[str]]:
    """Name -> entries of lines such as `name: entry entry`; adds to `faults`."""
    found: dict[str, list[str]] = {}
    for line in lines:
        name, separator, rest = str(line).partition(":")
        if not separator or not name.strip() or len(name.split()) != 1:
            faults.append(f"{parameter_name}: {line!r} is not 'name: entries'")
        elif name.strip() in found:
            faults.append(f"{parameter_name}: {name.strip()} is there twice")
        else:
            found[name.strip()] = rest.split()
    return found
