"""The HID interfaces of the SpaceMice that are attached, through pyspacemouse 2.x, read without blocking. No ROS."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from apo_core.types import OperatorEvent
from apo_teleop.devices.profiles import HID_AXES, Profiles

_MAX_REPORTS = 1000  # in one poll; a device that sends more would never be drained
_HID_STATE = ("x", "y", "z", "roll", "pitch", "yaw")  # pyspacemouse's names of HID_AXES
_MULTI_AXIS_CONTROLLER = (0x01, 0x08)  # HID usage page and usage of the interface that has the axes


class Attached(NamedTuple):
    """An interface that may be a SpaceMouse's."""

    path: str
    model: str  # pyspacemouse's name
    number: int  # among the interfaces with the vendor and product of the model


class Interface:
    """An open interface: the axes and buttons that it reports.

    Args:
        attached: which one.
        profiles: axis map and button roles by model.

    Raises:
        Exception: of any kind, by the library at fault: it cannot be opened, or its axis map does not fit.
    """

    def __init__(self, attached: Attached, profiles: Profiles):
        import pyspacemouse

        self.path, self.model = attached.path, attached.model
        self.has_reported = False  # axes or buttons; a receiver also reports the state of a battery
        self._profile = profiles.get(self.model, len(HID_AXES))
        # it prints what it found
        with contextlib.redirect_stdout(io.StringIO()):
            self._device: Any = pyspacemouse.open(
                device=self.model,
                device_index=attached.number,
                nonblocking=True,
                axis_convention=pyspacemouse.AxisConvention.HID,
                dof_callback=lambda _state: self._note_report(),
                button_callback=lambda _state, _buttons: self._note_report(),
            )
        self._read_at = -1.0  # pyspacemouse's time of a device that has reported nothing
        self._buttons = [0] * len(self._device.info.button_specs)
        self.axes = np.zeros(6)  # AXES, share of full deflection

    def drain(self, events: list[OperatorEvent]) -> bool:
        """Reads every queued report, since one holds translation, rotation or buttons alone; whether there was one.

        Args:
            events: gets the buttons' roles as they come: a device that is pulled out may have reported some before.

        Raises:
            Exception: of any kind, by the library at fault: the device is gone.
        """
        reported = False
        for _ in range(_MAX_REPORTS):
            state = self._device.read()
            if state.t == self._read_at:
                break
            self._read_at, reported = state.t, True
            buttons = list(state.buttons)
            for index, (old, new) in enumerate(zip(self._buttons, buttons, strict=True)):
                if new > old:
                    events.append(self._profile.role(self._device.get_button_name(index)))
            self._buttons = buttons
        if reported:
            self.axes = self._profile.axes.apply([getattr(state, axis) for axis in _HID_STATE])
        return reported

    def close(self) -> None:
        """Gives the interface back; safe to call twice."""
        with contextlib.suppress(Exception):
            self._device.close()

    def _note_report(self) -> None:
        self.has_reported = True


def find_attached(model: str) -> Iterator[Attached]:
    """Every interface that may have the axes of a SpaceMouse of this model, or of any if `model` is empty.

    Which of a receiver's interfaces that is, their usage reveals, and where an old library does not report it, nothing.

    Raises:
        Exception: of any kind: a missing library shows as ImportError, OSError or AttributeError.
    """
    from pyspacemouse import api

    names = {
        (spec.vendor_id, spec.product_id): name for name, spec in api.get_device_specs().items() if model in ("", name)
    }
    devices = [(names.get((d.vendor_id, d.product_id)), d) for d in api.Enumeration().find()]
    for position, (name, device) in enumerate(devices):
        if name is None:
            continue
        usages = [(other.usage_page, other.usage) for other_name, other in devices if other_name == name]
        if _MULTI_AXIS_CONTROLLER in usages and (device.usage_page, device.usage) != _MULTI_AXIS_CONTROLLER:
            continue
        number = sum(other_name == name for other_name, _ in devices[:position])
        yield Attached(device.path, name, number)
