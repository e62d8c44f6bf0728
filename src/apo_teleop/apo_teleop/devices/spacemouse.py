"""A 3Dconnexion SpaceMouse through pyspacemouse 2.x, read without blocking; it may be unplugged at any time."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from apo_teleop.devices.device import AXES, DeviceSample, disconnected

_MAX_REPORTS = 1000  # in one poll; a device that sends more would never be drained
_HELP = "is libhidapi-hidraw0 installed, and may this user read /dev/hidraw*?"


class SpaceMouse:
    """The first SpaceMouse found, or the first of a model.

    Args:
        model: name of pyspacemouse's list, such as `SpaceMouseCompact`; empty takes any.
        reconnect_s: time between attempts to find it.
    """

    name = "spacemouse"

    def __init__(self, model: str = "", reconnect_s: float = 0.5):
        self.problem = "not opened yet"
        self._model = model
        self._reconnect_ns = round(reconnect_s * 1e9)
        self._device = None
        self._next_attempt_ns: int | None = None
        self._read_at = -1.0
        self._buttons: list[int] = []
        self._reported_gone = False

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device. A lost device is looked for again by itself."""
        if self._device is None:
            return self._look_for_it(now_ns)
        try:
            return self._drain(now_ns)
        except Exception as error:  # easyhid raises its own type, cffi others: whatever it is, the device is gone
            self.problem = f"{type(error).__name__}: {error}"
            self.close()
            self._next_attempt_ns = now_ns + self._reconnect_ns
            self._reported_gone = True
            return disconnected(now_ns)

    def close(self) -> None:
        """See Device."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(Exception):
                device.close()

    def _look_for_it(self, now_ns: int) -> DeviceSample | None:
        if self._next_attempt_ns is None or now_ns >= self._next_attempt_ns:
            self._next_attempt_ns = now_ns + self._reconnect_ns
            self._open()
        if self._device is not None:
            self._reported_gone = False
            return DeviceSample(now_ns, True, np.zeros(6))
        if self._reported_gone:
            return None
        self._reported_gone = True
        return disconnected(now_ns)

    def _open(self) -> None:
        try:
            import pyspacemouse

            # it prints what it found
            with contextlib.redirect_stdout(io.StringIO()):
                self._device = pyspacemouse.open(
                    device=self._model or None, nonblocking=True, axis_convention=pyspacemouse.AxisConvention.ROS
                )
        except Exception as error:  # a missing library shows as ImportError, OSError or AttributeError
            self.problem = f"no SpaceMouse {self._model}: {error}; {_HELP}"
            return
        self.problem = ""
        self._read_at = -1.0  # pyspacemouse's time of a device that has reported nothing
        self._buttons = [0] * len(self._device.info.button_specs)

    def _drain(self, now_ns: int) -> DeviceSample | None:
        """Reads every queued report; one report holds translation, rotation or buttons alone."""
        pressed, changed = [], False
        for _ in range(_MAX_REPORTS):
            state = self._device.read()
            if state.t == self._read_at:
                break
            self._read_at, changed = state.t, True
            buttons = list(state.buttons)
            pressed += [str(i) for i, (old, new) in enumerate(zip(self._buttons, buttons, strict=True)) if new > old]
            self._buttons = buttons
        if not changed:
            return None
        return DeviceSample(now_ns, True, np.array([getattr(state, axis) for axis in AXES]), tuple(pressed))


def is_attached() -> bool:
    """Whether a SpaceMouse is plugged in that may be opened."""
    device = SpaceMouse()
    try:
        sample = device.poll(0)
        return sample is not None and sample.connected
    finally:
        device.close()
