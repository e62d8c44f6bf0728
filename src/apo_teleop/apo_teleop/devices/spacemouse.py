"""A 3Dconnexion SpaceMouse through pyspacemouse 2.x, read without blocking; it may be unplugged at any time."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from apo_core.errors import ConfigError
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import DeviceSample, disconnected
from apo_teleop.devices.profiles import DEFAULT, HID_AXES, Profile, Profiles
from apo_teleop.devices.rest_gate import RestGate

_MAX_REPORTS = 1000  # in one poll; a device that sends more would never be drained
_HID_STATE = ("x", "y", "z", "roll", "pitch", "yaw")  # pyspacemouse's names of HID_AXES
_MULTI_AXIS_CONTROLLER = (0x01, 0x08)  # HID usage page and usage of the interface that has the axes
_HELP = "is libhidapi-hidraw0 installed, and may this user read /dev/hidraw*? (docs/how-to/devices.md)"


class SpaceMouse:
    """The first SpaceMouse found, or the first of a model.

    A deflected cap reports every 8 to 16 ms, also when it is held still, and a resting one reports zeros, then nothing:
    silence of a deflected cap therefore means that the radio link is lost, though the receiver is still plugged in.

    Args:
        profiles: axis map and button roles by model.
        model: name of pyspacemouse's list, such as `SpaceMouseCompact`; empty takes any.
        reconnect_s: time between attempts to find it.
        stale_s: silence of a deflected cap after which it is lost; 0: never.
        rest: share of full deflection up to which an axis is at rest.
        settle_s: rest after connecting before it moves anything.

    Raises:
        ConfigError: pyspacemouse has no such model.
    """

    def __init__(
        self,
        profiles: Profiles,
        model: str = "",
        reconnect_s: float = 0.5,
        stale_s: float = 0.15,
        rest: float = 0.06,
        settle_s: float = 0.2,
    ):
        self.name = "SpaceMouse"
        self.problem = "not opened yet"
        self._profiles, self._model = profiles, _known(model)
        self._reconnect_ns, self._stale_ns = round(reconnect_s * 1e9), round(stale_s * 1e9)
        self._gate = RestGate(rest, round(settle_s * 1e9))
        self._device: Any = None  # of pyspacemouse
        self._profile: Profile  # of the device, once it is open
        self._next_attempt_ns: int | None = None
        self._read_at = -1.0
        self._buttons: list[int] = []
        self._axes = np.zeros(6)
        self._reported_ns = 0
        self._gone_reported = False
        self._was_open = False  # the gate, at the last poll

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device. A lost device is looked for again by itself."""
        if self._device is None:
            return self._look_for_it(now_ns)
        events: list[OperatorEvent] = []
        try:
            reported = self._drain(events)
        except Exception as error:  # easyhid raises its own type, cffi others: whatever it is, the device is gone
            self.problem = f"lost: {type(error).__name__}: {error}"
            self.close()
            self._next_attempt_ns = now_ns + self._reconnect_ns
            return self._report_gone(now_ns, events)
        if reported:
            self._reported_ns, self._gone_reported = now_ns, False
        elif self._is_stale(now_ns):
            self.problem = f"lost: deflected, but silent for {self._stale_ns * 1e-9} s; out of range, or battery empty?"
            self._gate.reset()
            return self._report_gone(now_ns)
        self._gate.update(now_ns, self._axes)
        opened, self._was_open = self._gate.is_open and not self._was_open, self._gate.is_open
        waits = not self._gate.is_open and self._gate.is_deflected(self._axes)
        self.problem = "waits: the cap is deflected, let go of it once" if waits else ""
        if not (reported or opened):
            return None
        axes = self._axes.copy() if self._gate.is_open else np.zeros(6)
        return DeviceSample(now_ns, True, axes, tuple(events))

    def close(self) -> None:
        """See Device."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(Exception):
                device.close()

    def _is_stale(self, now_ns: int) -> bool:
        return bool(
            self._stale_ns and now_ns - self._reported_ns > self._stale_ns and self._gate.is_deflected(self._axes)
        )

    def _report_gone(self, now_ns: int, events: Sequence[OperatorEvent] = ()) -> DeviceSample | None:
        reported, self._gone_reported = self._gone_reported, True
        return None if reported and not events else disconnected(now_ns, events)

    def _look_for_it(self, now_ns: int) -> DeviceSample | None:
        if self._next_attempt_ns is None or now_ns >= self._next_attempt_ns:
            self._next_attempt_ns = now_ns + self._reconnect_ns
            self._open()
        if self._device is None:
            return self._report_gone(now_ns)
        self._gone_reported, self._reported_ns = False, now_ns
        return DeviceSample(now_ns, True, np.zeros(6))

    def _open(self) -> None:
        try:
            import pyspacemouse

            model, index = self._choose()
            # it prints what it found
            with contextlib.redirect_stdout(io.StringIO()):
                self._device = pyspacemouse.open(
                    device=model,
                    device_index=index,
                    nonblocking=True,
                    axis_convention=pyspacemouse.AxisConvention.HID,
                )
            self._profile = self._profiles.get(model, len(HID_AXES))
        except Exception as error:  # a missing library shows as ImportError, OSError or AttributeError
            self.problem = f"no {self._model or 'SpaceMouse'}: {error}; {_HELP}"
            self.close()
            return
        self.name = model if self._profiles.has(model) else f"{model} (axis map {DEFAULT})"
        self.problem = ""
        self._read_at = -1.0  # pyspacemouse's time of a device that has reported nothing
        self._buttons = [0] * len(self._device.info.button_specs)
        self._axes, self._was_open = np.zeros(6), False
        self._gate.reset()

    def _choose(self) -> tuple[str, int]:
        """Model and index of what to open; a receiver has several interfaces, of which one has the axes."""
        from pyspacemouse import api

        models = {(spec.vendor_id, spec.product_id): name for name, spec in api.get_device_specs().items()}
        attached = [
            (models.get((d.vendor_id, d.product_id)), (d.usage_page, d.usage)) for d in api.Enumeration().find()
        ]
        for name, _ in attached:
            if name is not None and self._model in ("", name):
                usages = [usage for other, usage in attached if other == name]
                return name, usages.index(_MULTI_AXIS_CONTROLLER) if _MULTI_AXIS_CONTROLLER in usages else 0
        raise RuntimeError("none is plugged in")

    def _drain(self, events: list[OperatorEvent]) -> bool:
        """Reads every queued report, since one holds translation, rotation or buttons alone; whether there was one.

        Adds the buttons' roles to `events` as they come: a device that is pulled out may have reported some before.
        """
        reported = False
        for _ in range(_MAX_REPORTS):
            state = self._device.read()
            if state.t == self._read_at:
                break
            self._read_at, reported = state.t, True
            buttons = list(state.buttons)
            for index, (old, new) in enumerate(zip(self._buttons, buttons, strict=True)):
                role = self._profile.roles.get(self._device.get_button_name(index))
                if new > old and role is not None:
                    events.append(role)
            self._buttons = buttons
        if reported:
            self._axes = self._profile.axes.apply([getattr(state, axis) for axis in _HID_STATE])
        return reported


def _known(model: str) -> str:
    """The model, if pyspacemouse lists it or cannot be imported."""
    try:
        from pyspacemouse import get_device_specs
    except Exception:  # poll() reports what is missing
        return model
    known = get_device_specs()
    if model and model not in known:
        raise ConfigError("config/teleop.yaml", [f"spacemouse_model = {model!r} is not one of {', '.join(known)}"])
    return model


def is_attached(profiles: Profiles, model: str = "", report: Callable[[str], None] = lambda _: None) -> bool:
    """Whether a SpaceMouse of this model is plugged in that may be opened; `report` gets the reason why not."""
    device = SpaceMouse(profiles, model)
    try:
        sample = device.poll(0)
        if device.problem:
            report(device.problem)
        return sample is not None and sample.connected
    finally:
        device.close()
