"""The keyboard in a pseudo terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_teleop.devices.keyboard import Keyboard

MS = 1_000_000
WAIT_S = 30.0  # limit of a wait for something that will come


@pytest.fixture
def terminal():
    """The user's end of a terminal and the path of the other end."""
    master, slave = pty.openpty()
    yield master, os.ttyname(slave), slave
    for fd in (master, slave):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def keyboard(terminal):
    device = Keyboard(terminal[1], tap_s=0.2, repeat_s=0.15)
    yield device
    device.close()


def wait_until(condition, what):
    """The kernel hands on what is written to a terminal in its own time."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.001)


def waiting(terminal) -> int:
    """Bytes that the keyboard may read now."""
    return struct.unpack("i", fcntl.ioctl(terminal[2], termios.FIONREAD, b"\0" * 4))[0]


def typed(terminal, text):
    before = waiting(terminal)
    os.write(terminal[0], text.encode())
    wait_until(lambda: waiting(terminal) == before + len(text), f"{text!r} does not arrive")


def assert_shown(terminal, words):
    """The user sees these words, sooner or later."""
    shown = b""
    while words not in shown:
        ready, _, _ = select.select([terminal[0]], [], [], WAIT_S)
        assert ready, f"{words} is not in {shown}"
        shown += os.read(terminal[0], 4096)


def test_the_first_sample_is_connected_and_at_rest(keyboard):
    sample = keyboard.poll(0)
    assert sample.connected and not sample.axes.any() and sample.events == ()
    assert keyboard.poll(1) is None


def test_help_is_shown(terminal, keyboard):
    assert_shown(terminal, b"EMERGENCY STOP")
    typed(terminal, "?")
    keyboard.poll(0)
    assert_shown(terminal, b"EMERGENCY STOP")


@pytest.mark.parametrize(
    ("key", "axis", "sign"),
    [
        ("w", 0, 1),
        ("s", 0, -1),
        ("a", 1, 1),
        ("d", 1, -1),
        ("r", 2, 1),
        ("f", 2, -1),
        ("o", 3, 1),
        ("u", 3, -1),
        ("i", 4, 1),
        ("k", 4, -1),
        ("j", 5, 1),
        ("l", 5, -1),
        ("\x1b[A", 0, 1),
        ("\x1b[B", 0, -1),
        ("\x1b[D", 1, 1),
        ("\x1bOC", 1, -1),
    ],
)
def test_motion_keys(terminal, keyboard, key, axis, sign):
    typed(terminal, key)
    expected = np.zeros(6)
    expected[axis] = 0.5 * sign
    np.testing.assert_allclose(keyboard.poll(0).axes, expected)


def test_a_tap_ends_by_itself(terminal, keyboard):
    typed(terminal, "w")
    assert keyboard.poll(0).axes[0] == 0.5
    assert keyboard.poll(199 * MS) is None
    assert keyboard.poll(200 * MS).axes[0] == 0


def test_a_held_key_goes_on_while_it_repeats_and_stops_soon_after(terminal, keyboard):
    typed(terminal, "w")
    keyboard.poll(0)
    keyboard.poll(200 * MS)
    typed(terminal, "w")
    assert keyboard.poll(500 * MS).axes[0] == 0.5
    for time_ms in (530, 560, 590):
        typed(terminal, "w")
        assert keyboard.poll(time_ms * MS) is None
    assert keyboard.poll(739 * MS) is None
    assert keyboard.poll(740 * MS).axes[0] == 0


def test_two_keys_add_up_and_opposite_keys_cancel(terminal, keyboard):
    typed(terminal, "wr")
    np.testing.assert_allclose(keyboard.poll(0).axes, [0.5, 0, 0.5, 0, 0, 0])
    typed(terminal, "s")
    np.testing.assert_allclose(keyboard.poll(1).axes, [0, 0, 0.5, 0, 0, 0])


def test_speed_keys_change_the_deflection_within_bounds(terminal, keyboard):
    typed(terminal, "+++W")
    assert keyboard.poll(0).axes[0] == 1.0
    typed(terminal, "-----")
    assert keyboard.poll(1).axes[0] == 0.25
    assert_shown(terminal, b"speed 25%")


def test_event_keys(terminal, keyboard):
    typed(terminal, " btynxz0c?")
    events = (
        *("gripper_toggle", "hand_back", "start", "success", "failure", "discard", "undo_last"),
        *("estop", "clear"),
    )
    assert keyboard.poll(0).events == events
    assert keyboard.poll(1) is None


def test_the_letters_of_other_keys_neither_move_nor_clear(terminal, keyboard):
    keyboard.poll(0)
    typed(terminal, "\x1b[1;2C\x1b[1;5B\x1b[1;5A\x1b[20~")  # Shift-Right, Ctrl-Down, Ctrl-Up, F9
    assert keyboard.poll(1) is None


def test_an_arrow_that_arrives_in_pieces(terminal, keyboard):
    keyboard.poll(0)
    typed(terminal, "\x1b")
    assert keyboard.poll(1) is None
    typed(terminal, "[")
    assert keyboard.poll(2) is None
    typed(terminal, "A")
    assert keyboard.poll(3).axes[0] == 0.5


def test_the_terminal_is_given_back_as_it_was(terminal):
    before = termios.tcgetattr(terminal[2])
    device = Keyboard(terminal[1])
    assert termios.tcgetattr(terminal[2])[3] != before[3]
    device.close()
    device.close()
    assert termios.tcgetattr(terminal[2]) == before
    assert device.poll(0) is None


def test_a_process_that_crashes_gives_the_terminal_back(terminal):
    before = termios.tcgetattr(terminal[2])
    code = f"from apo_teleop.devices.keyboard import Keyboard; Keyboard({terminal[1]!r}); raise RuntimeError('crash')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "RuntimeError: crash" in done.stderr
    assert_shown(terminal, b"EMERGENCY STOP")
    assert termios.tcgetattr(terminal[2]) == before


def test_a_closed_terminal_is_a_lost_device(terminal, keyboard):
    keyboard.poll(0)
    os.close(terminal[0])
    sample = keyboard.poll(1)
    assert not sample.connected
    assert "terminal closed" in keyboard.problem


def test_without_a_terminal_the_error_names_the_parameter(tmp_path):
    plain = tmp_path / "file"
    plain.touch()
    with pytest.raises(ConfigError, match="device = keyboard needs a terminal"):
        Keyboard(str(plain))
