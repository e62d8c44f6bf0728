"""A 3Dconnexion SpaceMouse, read without blocking; it may be unplugged at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from apo_core.errors import ConfigError
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import DeviceSample, disconnected
from apo_teleop.devices.profiles import DEFAULT, Profiles
from apo_teleop.devices.rest_gate import RestGate
from apo_teleop.devices.spacemouse_interfaces import Interface, find_attached

_HELP = "is libhidapi-hidraw0 installed, and may this user read /dev/hidraw*? (docs/how-to/devices.md)"


class SpaceMouse:
    """The SpaceMouse, of any model or of one, that is first to report.

    It reads every interface that may be one: which interface of a receiver has the mouse, and whether a receiver
    has one at all, shows only when the cap is moved or a button pressed. From then on that interface alone counts,
    until it is lost.

    A deflected cap reports every 8 to 16 ms, also when it is held still, and a resting one reports zeros, then nothing:
    silence of a deflected cap therefore means that the radio link is lost, though the receiver is still plugged in.

    Args:
        profiles: axis map and button roles by model.
        model: name of pyspacemouse's list, such as `SpaceMouseCompact`; empty takes any.
        reconnect_s: time between attempts to find it, and others while none has reported.
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
        self._open: dict[str, Interface] = {}  # by path: those it reads
        self._chosen: Interface | None = None  # the one that has reported
        self._rejected: dict[str, str] = {}  # by path: why it could not be opened
        self._next_attempt_ns: int | None = None
        self._reported_ns = 0
        self._gone_reported = False
        self._was_open = False  # the gate, at the last poll

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device. A lost device is looked for again by itself."""
        if self._chosen is None and (self._next_attempt_ns is None or now_ns >= self._next_attempt_ns):
            had_none = not self._open
            self._look_for_it(now_ns)
            if had_none and self._open:
                self._gone_reported, self._reported_ns = False, now_ns
                return DeviceSample(now_ns, True, np.zeros(6))
        if not self._open:
            return self._report_gone(now_ns)
        events: list[OperatorEvent] = []
        reported = self._drain(events)
        if not self._open:
            self._next_attempt_ns = now_ns + self._reconnect_ns
            return self._report_gone(now_ns, events)
        axes = self._axes()
        if reported:
            self._reported_ns, self._gone_reported = now_ns, False
        elif self._is_stale(now_ns, axes):
            self.problem = f"lost: deflected, but silent for {self._stale_ns * 1e-9} s; out of range, or battery empty?"
            self._gate.reset()
            self._read_all_again(now_ns)
            return self._report_gone(now_ns)
        self._gate.update(now_ns, axes)
        opened, self._was_open = self._gate.is_open and not self._was_open, self._gate.is_open
        waits = not self._gate.is_open and self._gate.is_deflected(axes)
        self.problem = "waits: the cap is deflected, let go of it once" if waits else self._unreported()
        if not (reported or opened or events):
            return None
        return DeviceSample(now_ns, True, axes.copy() if self._gate.is_open else np.zeros(6), tuple(events))

    def close(self) -> None:
        """See Device."""
        interfaces, self._open, self._chosen = self._open, {}, None
        for interface in interfaces.values():
            interface.close()

    def _axes(self) -> np.ndarray:
        """Of the chosen interface, or of one that fell silent while deflected."""
        read = (self._chosen,) if self._chosen is not None else self._open.values()
        deflected = (interface.axes for interface in read if self._gate.is_deflected(interface.axes))
        return next(deflected, np.zeros(6) if self._chosen is None else self._chosen.axes)

    def _read_all_again(self, now_ns: int) -> None:
        """The chosen one may come back, or a person takes another mouse, or its cable."""
        if self._chosen is not None:
            self._chosen.has_reported, self._chosen = False, None
            self._next_attempt_ns = now_ns + self._reconnect_ns

    def _is_stale(self, now_ns: int, axes: np.ndarray) -> bool:
        return bool(self._stale_ns and now_ns - self._reported_ns > self._stale_ns and self._gate.is_deflected(axes))

    def _report_gone(self, now_ns: int, events: Sequence[OperatorEvent] = ()) -> DeviceSample | None:
        reported, self._gone_reported = self._gone_reported, True
        return None if reported and not events else disconnected(now_ns, events)

    def _look_for_it(self, now_ns: int) -> None:
        """Opens what is attached and not open yet; one that is deflected when it comes must rest first."""
        self._next_attempt_ns = now_ns + self._reconnect_ns
        before, self._rejected, error = set(self._open), {}, "none is plugged in"
        try:
            for attached in find_attached(self._model):
                if attached.path in self._open:
                    continue
                try:
                    self._open[attached.path] = Interface(attached, self._profiles)
                except Exception as fault:  # another interface may still be opened
                    self._rejected[attached.path] = error = f"{attached.path}: {fault}"
        except Exception as fault:  # a missing library shows as ImportError, OSError or AttributeError
            error = str(fault)
        if not self._open:
            self.problem = f"no {self._model or 'SpaceMouse'}: {error}; {_HELP}"
        elif set(self._open) != before:
            self._gate.reset()
            self._was_open = False
            models = dict.fromkeys(interface.model for interface in self._open.values())
            self.name = " or ".join(map(self._name_of, models))
            self.problem = self._unreported()

    def _drain(self, events: list[OperatorEvent]) -> bool:
        """Reads every open interface, and chooses the first that reports axes or buttons; whether that one did."""
        reported = False
        for path, interface in list(self._open.items()):
            pressed: list[OperatorEvent] = []
            try:
                reported |= interface.drain(pressed)
                events += pressed
            except Exception as error:  # easyhid raises its own type, cffi others: whatever it is, the device is gone
                self.problem = f"lost: {type(error).__name__}: {error}"
                events += disconnected(0, pressed).events
                interface.close()
                del self._open[path]
                continue
            if self._chosen is None and interface.has_reported:
                self._choose(interface)
                break
        if not self._open:
            self._chosen = None
        return reported and self._chosen is not None

    def _choose(self, chosen: Interface) -> None:
        self._chosen = chosen
        self.name = self._name_of(chosen.model)
        if len(self._open) > 1:
            self.name += f" at {chosen.path}, the first of {len(self._open)} interfaces to report"
        for path, interface in self._open.items():
            if path != chosen.path:
                interface.close()
        self._open = {chosen.path: chosen}

    def _name_of(self, model: str) -> str:
        return model if self._profiles.has(model) else f"{model} (axis map {DEFAULT})"

    def _unreported(self) -> str:
        """Why nobody may be at the device yet, where that is in doubt; empty otherwise."""
        if self._chosen is not None or (len(self._open) < 2 and not self._rejected):
            return ""
        rejected = "".join(f"; cannot open {fault}" for fault in self._rejected.values())
        many = f"none of {len(self._open)} interfaces has" if len(self._open) > 1 else "the one open interface has not"
        return f"{many} reported yet: move the cap or press a button{rejected}"


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
