"""The SpaceMouse through the real driver, fed with raw HID reports in place of a USB port."""

import struct

import numpy as np
import pytest

pyspacemouse = pytest.importorskip("pyspacemouse")
from easyhid import HIDException  # noqa: E402

from apo_teleop.devices.spacemouse import SpaceMouse, is_attached  # noqa: E402

SECOND = 1_000_000_000
COMPACT = (0x256F, 0xC635)  # wired: translation and rotation in reports of their own
WIRELESS = (0x256F, 0xC62E)  # all six axes in one report


class Port:
    """What is plugged in."""

    def __init__(self):
        self.plugged = None
        self.reports = []
        self.opened = 0

    def plug(self, ids):
        self.plugged = ids

    def unplug(self):
        self.plugged = None


class HidDevice:
    """One USB device, as easyhid shows it."""

    product_string, manufacturer_string, serial_number, release_number, path = "puck", "maker", "1", 1, "/dev/hidraw0"

    def __init__(self, port):
        self._port = port
        self.vendor_id, self.product_id = port.plugged

    def open(self):
        self._port.opened += 1

    def close(self):
        pass

    def set_nonblocking(self, enable):
        assert enable is True

    def read(self, size):
        if self._port.plugged is None:
            raise HIDException("Failed to read from HID device: -1")
        return bytearray(self._port.reports.pop(0)[:size]) if self._port.reports else bytearray()


@pytest.fixture
def port(monkeypatch):
    port = Port()

    class Enumeration:
        def find(self, *_, **__):
            return [HidDevice(port)] if port.plugged else []

    monkeypatch.setattr("pyspacemouse.api.Enumeration", Enumeration)
    return port


def axes_report(channel, *values):
    return bytes([channel]) + struct.pack(f"<{len(values)}h", *values)


def test_nothing_attached_is_reported_once_with_its_cause(port):
    mouse = SpaceMouse()
    sample = mouse.poll(0)
    assert not sample.connected
    assert "libhidapi" in mouse.problem
    assert mouse.poll(1) is None
    assert not is_attached()


@pytest.mark.parametrize(
    ("model", "reports", "axes"),
    [
        # HID is x right, y towards the user, z down; REP 103 is x forward, y left, z up
        (COMPACT, [axes_report(1, 350, 0, 0)], [0, -1, 0, 0, 0, 0]),
        (COMPACT, [axes_report(1, 0, 350, 0)], [-1, 0, 0, 0, 0, 0]),
        (COMPACT, [axes_report(1, 0, 0, 350)], [0, 0, -1, 0, 0, 0]),
        (COMPACT, [axes_report(2, 350, 0, 0)], [0, 0, 0, 0, -1, 0]),
        (COMPACT, [axes_report(2, 0, 350, 0)], [0, 0, 0, -1, 0, 0]),
        (COMPACT, [axes_report(2, 0, 0, 350)], [0, 0, 0, 0, 0, -1]),
        (WIRELESS, [axes_report(1, 350, 0, 0, 0, 0, 0)], [0, -1, 0, 0, 0, 0]),
        (WIRELESS, [axes_report(1, 0, 350, 0, 0, 0, 0)], [-1, 0, 0, 0, 0, 0]),
        (WIRELESS, [axes_report(1, 0, 0, 350, 0, 0, 0)], [0, 0, -1, 0, 0, 0]),
        (WIRELESS, [axes_report(1, 0, 0, 0, 350, 0, 0)], [0, 0, 0, 0, -1, 0]),
        (WIRELESS, [axes_report(1, 0, 0, 0, 0, 350, 0)], [0, 0, 0, -1, 0, 0]),
        (WIRELESS, [axes_report(1, 0, 0, 0, 0, 0, 350)], [0, 0, 0, 0, 0, -1]),
    ],
)
def test_axes_follow_rep_103(port, model, reports, axes):
    port.plug(model)
    mouse = SpaceMouse()
    assert mouse.poll(0).connected
    port.reports += reports
    np.testing.assert_allclose(mouse.poll(1).axes, axes, atol=1e-9)


def test_every_queued_report_is_drained_and_parts_add_up(port):
    port.plug(COMPACT)
    mouse = SpaceMouse()
    mouse.poll(0)
    port.reports += [axes_report(1, 0, -35 * i, 0) for i in range(11)] + [axes_report(2, 0, 0, -175)]
    sample = mouse.poll(5)
    np.testing.assert_allclose(sample.axes, [1, 0, 0, 0, 0, 0.5])
    assert sample.stamp_ns == 5
    assert port.reports == []
    assert mouse.poll(6) is None


def test_a_button_released_before_the_poll_still_counts(port):
    port.plug(COMPACT)
    mouse = SpaceMouse()
    mouse.poll(0)
    port.reports += [bytes([3, 0b01]), bytes([3, 0b00]), bytes([3, 0b10])]
    assert mouse.poll(1).pressed == ("0", "1")
    port.reports.append(bytes([3, 0b10]))
    assert mouse.poll(2).pressed == ()


def test_unplug_and_replug(port):
    port.plug(WIRELESS)
    mouse = SpaceMouse(reconnect_s=0.5)
    mouse.poll(0)
    port.reports.append(axes_report(1, 0, -350, 0, 0, 0, 0))
    assert mouse.poll(1).axes[0] == 1
    port.unplug()
    lost = mouse.poll(2)
    assert not lost.connected and not lost.axes.any()
    assert "HIDException" in mouse.problem
    assert mouse.poll(SECOND) is None
    port.plug(WIRELESS)
    assert mouse.poll(SECOND + SECOND // 4) is None
    back = mouse.poll(2 * SECOND)
    assert back.connected and not back.axes.any()
    assert mouse.problem == ""
    assert port.opened == 2


def test_a_model_by_name(port):
    port.plug(COMPACT)
    assert not SpaceMouse(model="SpaceMouseWireless").poll(0).connected
    assert SpaceMouse(model="SpaceMouseCompact").poll(0).connected
    assert not SpaceMouse(model="NoSuchMouse").poll(0).connected
    assert is_attached()


def test_opening_prints_nothing(port, capsys):
    port.plug(COMPACT)
    SpaceMouse().poll(0)
    assert capsys.readouterr().out == ""
