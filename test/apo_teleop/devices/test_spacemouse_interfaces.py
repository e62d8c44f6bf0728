"""Several HID interfaces that may be a SpaceMouse's, over a made-up libhidapi: which one counts, and from when."""

import struct

import pytest

pytest.importorskip("pyspacemouse")
from fake_hidapi import MULTI_AXIS, made_up_hidapi

from apo_teleop.devices.profiles import ProfileConfig, Profiles
from apo_teleop.devices.spacemouse import SpaceMouse

MS, SECOND = 1_000_000, 1_000_000_000
NAVIGATOR, COMPACT = (0x046D, 0xC626), (0x256F, 0xC635)  # wired; translation and rotation in reports of their own
WIRELESS, RECEIVER = (0x256F, 0xC62E), (0x256F, 0xC652)  # all six axes in one report
PROFILES = Profiles(ProfileConfig())


@pytest.fixture
def port():
    with made_up_hidapi() as made:
        yield made


def axes_report(channel, *values):
    return bytes([channel]) + struct.pack(f"<{len(values)}h", *values)


UNNAMED = (0, 0)  # usage, of an old libhidapi
FORWARD = axes_report(1, 0, -350, 0, 0, 0, 0)
RELEASED = axes_report(1, *[0] * 6)


def untouched(port, *plugged, **options):
    """A mouse that is open, and nobody has touched for a second."""
    port.interfaces = []
    for model, usages in plugged:
        port.add(model, usages)
    mouse = SpaceMouse(PROFILES, **options)
    assert mouse.poll(0).connected
    mouse.poll(1)
    mouse.poll(SECOND)
    return mouse


@pytest.mark.parametrize("usage", [UNNAMED, MULTI_AXIS])
@pytest.mark.parametrize("number", range(5))
def test_of_five_interfaces_alike_the_one_that_reports_is_kept(port, usage, number):
    mouse = untouched(port, (RECEIVER, [usage] * 5))
    assert sorted(port.held) == [0, 1, 2, 3, 4]
    assert mouse.problem == "none of 5 interfaces has reported yet: move the cap or press a button"
    port.report(number, FORWARD)
    sample = mouse.poll(2 * SECOND)
    assert sample.connected and sample.axes[0] == 1
    assert mouse.problem == "" and port.held == [number]
    assert mouse.name == f"UniversalReceiver at /dev/hidraw{number}, the first of 5 interfaces to report"


def test_a_silent_receiver_before_the_wired_mouse_is_passed_over(port):
    mouse = untouched(port, (RECEIVER, [MULTI_AXIS]), (NAVIGATOR, [MULTI_AXIS]))
    assert mouse.name == "UniversalReceiver or SpaceNavigator"
    port.report(1, bytes([3, 0b01]))
    assert mouse.poll(2 * SECOND).events == ("gripper_toggle",)
    assert mouse.name.startswith("SpaceNavigator at /dev/hidraw1")


def test_of_two_mice_the_first_that_reports_wins_until_it_is_lost(port):
    mouse = untouched(port, (COMPACT, [MULTI_AXIS]), (WIRELESS, [MULTI_AXIS]))
    port.report(1, FORWARD)
    assert mouse.poll(2 * SECOND).axes[0] == 1
    assert port.held == [1]
    port.pull(1)
    assert not mouse.poll(3 * SECOND).connected
    assert mouse.poll(4 * SECOND).connected
    mouse.poll(4 * SECOND + 1)
    mouse.poll(5 * SECOND)
    port.report(0, axes_report(1, 0, -350, 0), axes_report(2, 0, 0, 0))
    assert mouse.poll(6 * SECOND).axes[0] == 1
    assert mouse.name == "SpaceMouseCompact"


def test_one_that_comes_while_none_has_reported_is_opened_and_must_rest(port):
    mouse = untouched(port, (RECEIVER, [MULTI_AXIS]), reconnect_s=0.5)
    port.add(WIRELESS)
    assert mouse.poll(2 * SECOND) is None
    port.report(1, FORWARD)
    deflected = mouse.poll(2 * SECOND + 10 * MS)
    assert deflected.connected and not deflected.axes.any()
    port.report(1, RELEASED)
    mouse.poll(3 * SECOND)
    mouse.poll(4 * SECOND)
    port.report(1, FORWARD)
    assert mouse.poll(5 * SECOND).axes[0] == 1


def test_one_that_is_pulled_out_while_none_has_reported_leaves_the_others(port):
    mouse = untouched(port, (RECEIVER, [UNNAMED] * 3))
    port.pull(0)
    assert mouse.poll(2 * SECOND) is None
    assert port.held == [1, 2]
    port.pull(1)
    port.pull(2)
    assert not mouse.poll(3 * SECOND).connected
    port.plug(RECEIVER)
    assert mouse.poll(4 * SECOND).connected


def test_an_interface_that_may_not_be_opened_leaves_the_others(port):
    port.denied = {0}
    mouse = untouched(port, (RECEIVER, [UNNAMED] * 2))
    assert mouse.problem == (
        "the one open interface has not reported yet: move the cap or press a button; "
        "cannot open /dev/hidraw0: Failed to open device"
    )
    port.report(1, FORWARD)
    assert mouse.poll(2 * SECOND).axes[0] == 1
    port.denied = {0, 1}
    port.plug(RECEIVER, [UNNAMED] * 2)
    shut = SpaceMouse(PROFILES)
    assert not shut.poll(0).connected
    assert "/dev/hidraw1: Failed to open device" in shut.problem


def test_a_report_without_axes_or_buttons_is_no_choice(port):
    mouse = untouched(port, (RECEIVER, [UNNAMED] * 2))
    port.report(0, bytes([0x17, 80]))  # the state of a battery
    mouse.poll(2 * SECOND)
    assert port.held == [0, 1]
    port.report(1, FORWARD)
    mouse.poll(3 * SECOND)
    assert port.held == [1]


def test_after_one_falls_silent_another_may_be_taken(port):
    mouse = untouched(port, (RECEIVER, [MULTI_AXIS]), reconnect_s=0.5)
    port.report(0, FORWARD)
    assert mouse.poll(2 * SECOND).axes[0] == 1
    assert not mouse.poll(3 * SECOND).connected
    port.add(WIRELESS)
    assert mouse.poll(4 * SECOND) is None
    port.report(1, RELEASED)
    assert mouse.poll(5 * SECOND).connected
    mouse.poll(6 * SECOND)
    port.report(1, FORWARD)
    assert mouse.poll(7 * SECOND).axes[0] == 1
    assert port.held == [1]
