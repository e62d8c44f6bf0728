"""The keys of a terminal as an operator device; works over ssh."""

from __future__ import annotations

import atexit
import contextlib
import os
import termios
import tty

import numpy as np

from apo_core.errors import ConfigError
from apo_core.system.terminal_keys import TerminalKeys
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import DeviceSample, disconnected

# key -> axis index and sign; directions as in AXES
MOTION = {
    "w": (0, 1.0),
    "s": (0, -1.0),
    "a": (1, 1.0),
    "d": (1, -1.0),
    "r": (2, 1.0),
    "f": (2, -1.0),
    "o": (3, 1.0),
    "u": (3, -1.0),
    "i": (4, 1.0),
    "k": (4, -1.0),
    "j": (5, 1.0),
    "l": (5, -1.0),
    "up": (0, 1.0),
    "down": (0, -1.0),
    "left": (1, 1.0),
    "right": (1, -1.0),
}
EVENTS = {
    " ": OperatorEvent.GRIPPER_TOGGLE,
    "b": OperatorEvent.HAND_BACK,
    "t": OperatorEvent.START,
    "y": OperatorEvent.SUCCESS,
    "n": OperatorEvent.FAILURE,
    "x": OperatorEvent.DISCARD,
    "z": OperatorEvent.UNDO_LAST,
    "0": OperatorEvent.ESTOP,
    "c": OperatorEvent.CLEAR,
}
SPEEDS = (0.25, 0.5, 1.0)  # share of full deflection, changed with - and +
HELP = (
    "move: w/s forward/back  a/d left/right (or arrows)  r/f up/down   turn: u/o roll  i/k pitch  j/l yaw\r\n"
    "- + speed   space gripper   b hand back   0 EMERGENCY STOP   c clear   ? this help   Ctrl-C end\r\n"
    "episode: t start   y success   n failure   x discard   z undo last\r\n"
)
_SPEED_KEYS = {"+": 1, "=": 1, "-": -1, "_": -1}
_REPEAT_GAP_NS = 700_000_000  # a key that comes again within this is being held; longer than terminals wait at first


class Keyboard:
    """Keys in a terminal. Terminals do not report key releases: a key counts as held for a moment after it arrives.

    Args:
        path: terminal to read; empty takes the controlling one.
        tap_s: time that a single key press moves.
        repeat_s: time that a held key goes on after its last repetition.

    Raises:
        ConfigError: there is no terminal.
    """

    name = "keyboard"

    def __init__(self, path: str = "", tap_s: float = 0.2, repeat_s: float = 0.15):
        self.problem = ""
        self._tap_ns, self._repeat_ns = round(tap_s * 1e9), round(repeat_s * 1e9)
        self._held_until: dict[str, int] = {}
        self._last_press: dict[str, int] = {}
        self._keys = TerminalKeys()
        self._speed = 1
        self._axes = np.zeros(6)
        self._started = False
        path = path or "/dev/tty"
        try:
            self._fd: int | None = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            self._before = termios.tcgetattr(self._fd)
        except (OSError, termios.error) as error:
            raise ConfigError(
                "config/teleop.yaml", [f"device = keyboard needs a terminal, {path} is none ({error})"]
            ) from None
        tty.setcbreak(self._fd, termios.TCSANOW)
        atexit.register(self.close)
        self._write(HELP)

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device."""
        if self._fd is None:
            return None
        try:
            text = os.read(self._fd, 4096).decode("ascii", "ignore")
            if not text:
                raise OSError("end of file")
        except BlockingIOError:
            text = ""
        except OSError as error:
            self.problem = f"terminal closed: {error}"
            self.close()
            return disconnected(now_ns)
        events = []
        for key in self._keys.read(text, now_ns):
            if key in MOTION:
                self._press(key, now_ns)
            elif key in EVENTS:
                events.append(EVENTS[key])
            elif key in _SPEED_KEYS:
                self._speed = min(max(self._speed + _SPEED_KEYS[key], 0), len(SPEEDS) - 1)
                self._write(f"speed {SPEEDS[self._speed]:.0%}\r\n")
            elif key == "?":
                self._write(HELP)
        axes = np.zeros(6)
        for key, until_ns in self._held_until.items():
            if now_ns < until_ns:
                index, sign = MOTION[key]
                axes[index] += sign
        axes = np.clip(axes, -1, 1) * SPEEDS[self._speed]
        if self._started and not events and np.array_equal(axes, self._axes):
            return None
        self._started, self._axes = True, axes
        return DeviceSample(now_ns, True, axes.copy(), events=tuple(events))

    def close(self) -> None:
        """Gives the terminal back as it was."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        atexit.unregister(self.close)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, self._before)
        os.close(fd)

    def _press(self, key: str, now_ns: int) -> None:
        held = now_ns - self._last_press.get(key, -_REPEAT_GAP_NS) < _REPEAT_GAP_NS
        self._last_press[key] = now_ns
        self._held_until[key] = now_ns + (self._repeat_ns if held else self._tap_ns)

    def _write(self, text: str) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())
