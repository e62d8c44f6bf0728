"""The SpaceMouse through the whole driver, pyspacemouse and easyhid, over a made-up libhidapi giving HID reports."""

import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pyspacemouse = pytest.importorskip("pyspacemouse")
from fake_hidapi import MULTI_AXIS, made_up_hidapi  # noqa: E402

from apo_core.errors import ConfigError  # noqa: E402
from apo_core.types import OperatorEvent  # noqa: E402
from apo_teleop.devices.mapping import AxisMapping, MappingConfig  # noqa: E402
from apo_teleop.devices.profiles import ProfileConfig, Profiles  # noqa: E402
from apo_teleop.devices.publication import OperatorPublication  # noqa: E402
from apo_teleop.devices.reader import DeviceReader  # noqa: E402
from apo_teleop.devices.spacemouse import SpaceMouse, is_attached  # noqa: E402

MS, SECOND = 1_000_000, 1_000_000_000
NAVIGATOR = (0x046D, 0xC626)  # wired; translation and rotation in reports of their own
COMPACT = (0x256F, 0xC635)  # the same
PRO = (0x046D, 0xC62B)  # the same, 15 buttons
WIRELESS = (0x256F, 0xC62E)  # all six axes in one report
RECEIVER = (0x256F, 0xC652)
MODELS = (NAVIGATOR, COMPACT, PRO, WIRELESS, RECEIVER)
PROFILES = Profiles(ProfileConfig())


@pytest.fixture
def port():
    with made_up_hidapi() as made:
        yield made


def axes_report(channel, *values):
    return bytes([channel]) + struct.pack(f"<{len(values)}h", *values)


def opened(port, model, at_ns=0, **options):
    """A mouse whose cap has rested, ready at `at_ns` + 1 s."""
    port.plug(model)
    mouse = SpaceMouse(PROFILES, **options)
    assert mouse.poll(at_ns).connected
    mouse.poll(at_ns + 1)
    mouse.poll(at_ns + SECOND)
    return mouse


def test_nothing_attached_is_reported_once_with_its_cause(port):
    mouse = SpaceMouse(PROFILES)
    assert not mouse.poll(0).connected
    assert "none is plugged in" in mouse.problem and "libhidapi" in mouse.problem
    assert mouse.poll(1) is None
    reported = []
    assert not is_attached(PROFILES, report=reported.append)
    assert reported == [mouse.problem]


# What the person does to the cap -> HID report of its axis at full deflection, sign -> axis of REP 103, sign.
# HID has x right, y towards the person, z down; rx ry rz turn about them by the right-hand rule.
GESTURES = {
    "push forward": ("y", -1, 0, 1),
    "pull back": ("y", 1, 0, -1),
    "push left": ("x", -1, 1, 1),
    "push right": ("x", 1, 1, -1),
    "pull up": ("z", -1, 2, 1),
    "push down": ("z", 1, 2, -1),
    "tip to the right": ("ry", -1, 3, 1),
    "tip to the left": ("ry", 1, 3, -1),
    "tip forward": ("rx", -1, 4, 1),
    "tip back": ("rx", 1, 4, -1),
    "turn left": ("rz", -1, 5, 1),
    "turn right": ("rz", 1, 5, -1),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("gesture", GESTURES)
def test_each_gesture_moves_its_axis_of_rep_103(port, model, gesture):
    mouse = opened(port, model)
    hid_axis, sign, axis, wanted = GESTURES[gesture]
    values = [0] * 6
    values[("x", "y", "z", "rx", "ry", "rz").index(hid_axis)] = 350 * sign
    if model in (WIRELESS, RECEIVER):
        port.reports.append(axes_report(1, *values))
    else:
        port.reports += [axes_report(1, *values[:3]), axes_report(2, *values[3:])]
    expected = np.zeros(6)
    expected[axis] = wanted
    np.testing.assert_array_equal(mouse.poll(2 * SECOND).axes, expected)


def test_a_model_may_have_an_axis_map_of_its_own(port):
    profiles = Profiles(
        ProfileConfig(axis_maps=("default: +x +y +z +rx +ry +rz", "SpaceNavigator: +z none -x +rz -y none"))
    )
    port.plug(NAVIGATOR)
    mouse = SpaceMouse(profiles)
    mouse.poll(0)
    mouse.poll(1)
    mouse.poll(SECOND)
    port.reports += [axes_report(1, 35, 70, 105), axes_report(2, 0, 0, 140)]
    np.testing.assert_allclose(mouse.poll(2 * SECOND).axes, [0.3, 0, -0.1, 0.4, -0.2, 0])


def test_every_queued_report_is_drained_and_parts_add_up(port):
    mouse = opened(port, COMPACT)
    port.reports += [axes_report(1, 0, -35 * i, 0) for i in range(11)] + [axes_report(2, 0, 0, -175)]
    sample = mouse.poll(2 * SECOND)
    np.testing.assert_allclose(sample.axes, [1, 0, 0, 0, 0, 0.5])
    assert sample.stamp_ns == 2 * SECOND
    assert port.reports == []
    assert mouse.poll(2 * SECOND + MS) is None


def test_each_report_is_news_though_its_values_are_the_same(port):
    mouse = opened(port, WIRELESS)
    for step in range(3):
        port.reports.append(axes_report(1, 0, -350, 0, 0, 0, 0))
        assert mouse.poll(2 * SECOND + step * 16 * MS).stamp_ns == 2 * SECOND + step * 16 * MS


def test_a_button_released_before_the_poll_still_counts(port):
    mouse = opened(port, COMPACT)
    port.reports += [bytes([3, 0b01]), bytes([3, 0b00]), bytes([3, 0b10])]
    assert mouse.poll(2 * SECOND).events == ("gripper_toggle", "hand_back")
    port.reports.append(bytes([3, 0b10]))
    assert mouse.poll(2 * SECOND + 1).events == ()


@pytest.mark.parametrize(
    ("model", "report", "event"),
    [
        (NAVIGATOR, [3, 0b01], "gripper_toggle"),
        (WIRELESS, [3, 0b10], "hand_back"),
        (PRO, [3, 0, 0b0001_0000, 0, 0], "gripper_toggle"),
        (PRO, [3, 0, 0b0010_0000, 0, 0], "hand_back"),
        (PRO, [3, 0, 0b0100_0000, 0, 0], "success"),
        (PRO, [3, 0, 0b1000_0000, 0, 0], "failure"),
        (PRO, [3, 0, 0, 0b1000_0000, 0], "discard"),
        (PRO, [3, 0, 0, 0b0100_0000, 0], "estop"),
        (PRO, [3, 0b0000_0100, 0, 0, 0], "start"),
        (PRO, [3, 0, 0, 0, 0b0000_0010], "undo_last"),
        (PRO, [3, 0b0000_0001, 0, 0, 0], "clear"),
        (RECEIVER, [3, 0b0000_0001, 0, 0, 0], "gripper_toggle"),
        (RECEIVER, [3, 0b0000_0010, 0, 0, 0], "hand_back"),
    ],
)
def test_button_roles_by_model(port, model, report, event):
    mouse = opened(port, model)
    port.reports.append(bytes(report))
    assert mouse.poll(2 * SECOND).events == (event,)


@pytest.mark.parametrize("model", [NAVIGATOR, WIRELESS])
def test_unplugging_is_noticed_at_the_next_poll_and_replugging_by_itself(port, model):
    mouse = opened(port, model, reconnect_s=0.5)
    port.reports.append(axes_report(1, 0, -350, 0, 0, 0, 0))
    assert mouse.poll(2 * SECOND).axes[0] == 1
    port.unplug()
    lost = mouse.poll(2 * SECOND + 5 * MS)
    assert not lost.connected and not lost.axes.any()
    assert "HIDException" in mouse.problem
    assert mouse.poll(3 * SECOND) is None
    port.plug(model)
    assert mouse.poll(3 * SECOND + 250 * MS) is None
    back = mouse.poll(4 * SECOND)
    assert back.connected and not back.axes.any()
    assert mouse.problem == ""
    assert len(port.opened) == 2


def test_an_emergency_stop_counts_when_unplugged_before_the_poll(port):
    mouse, mapping = opened(port, PRO), AxisMapping(MappingConfig())
    port.reports += [bytes([3, 0, 0b0001_0000, 0b0100_0000, 0])]  # with the gripper's button
    port.unplug()
    lost = mapping.apply(mouse.poll(2 * SECOND))
    assert not lost.connected and lost.events == ("estop",)


@pytest.mark.parametrize("model", [NAVIGATOR, WIRELESS])
def test_replugged_deflected_it_moves_nothing_before_it_has_rested(port, model):
    mouse = opened(port, model)
    port.unplug()
    assert not mouse.poll(2 * SECOND).connected
    port.plug(model)
    assert mouse.poll(3 * SECOND).connected
    now = 3 * SECOND
    for _ in range(40):  # the parts come one after the other: the first alone would look like rest
        now += 16 * MS
        split = [axes_report(1, 0, 0, 0), axes_report(2, 0, 0, -350)]
        port.reports += split if model is NAVIGATOR else [axes_report(1, 0, 0, 0, 0, 0, -350)]
        assert not mouse.poll(now).axes.any()
    assert "let go" in mouse.problem
    port.reports += [axes_report(1, *[0] * 6), axes_report(2, 0, 0, 0)]
    assert not mouse.poll(now + 16 * MS).axes.any()
    mouse.poll(now + 300 * MS)
    assert mouse.problem == ""
    port.reports.append(axes_report(1, 0, -350, 0, 0, 0, 0))
    assert mouse.poll(now + 400 * MS).axes[0] == 1


def test_buttons_work_before_the_cap_has_rested(port):
    port.plug(PRO)
    mouse = SpaceMouse(PROFILES)
    mouse.poll(0)
    port.reports += [axes_report(1, 350, 0, 0), bytes([3, 0, 0, 0b0100_0000, 0])]
    sample = mouse.poll(1)
    assert sample.events == ("estop",) and not sample.axes.any()


def test_a_deflected_cap_that_falls_silent_is_lost_and_must_rest_anew(port):
    mouse = opened(port, WIRELESS, stale_s=0.2)
    deflected = axes_report(1, 0, -350, 0, 0, 0, 0)
    port.reports.append(deflected)
    assert mouse.poll(2 * SECOND).axes[0] == 1
    assert mouse.poll(2 * SECOND + 200 * MS) is None
    assert not mouse.poll(2 * SECOND + 201 * MS).connected
    assert "silent for 0.2 s" in mouse.problem
    assert mouse.poll(2 * SECOND + 300 * MS) is None
    port.reports.append(deflected)
    back = mouse.poll(2 * SECOND + 400 * MS)
    assert back.connected and not back.axes.any()
    assert len(port.opened) == 1


def test_a_resting_cap_may_be_silent_for_ever_and_silence_may_be_allowed(port):
    assert opened(port, WIRELESS).poll(3600 * SECOND) is None
    mouse = opened(port, WIRELESS, stale_s=0.0)
    port.reports.append(axes_report(1, 0, -350, 0, 0, 0, 0))
    mouse.poll(2 * SECOND)
    assert mouse.poll(3600 * SECOND) is None
    assert mouse.problem == ""


def test_of_several_interfaces_the_one_with_the_axes_is_opened(port):
    port.plug(RECEIVER, usages=((0x01, 0x02), (0x01, 0x06), MULTI_AXIS))
    assert SpaceMouse(PROFILES).poll(0).connected
    assert port.opened == [2]
    port.plug(RECEIVER, usages=((0, 0), (0, 0)))  # an old libhidapi does not report them
    assert SpaceMouse(PROFILES).poll(0).connected
    assert port.opened == [2, 0, 1]


def test_a_model_by_name(port):
    port.plug(COMPACT)
    assert not SpaceMouse(PROFILES, model="SpaceMouseWireless").poll(0).connected
    mouse = SpaceMouse(PROFILES, model="SpaceMouseCompact")
    assert mouse.poll(0).connected
    assert mouse.name == "SpaceMouseCompact"
    profiles = Profiles(
        ProfileConfig(axis_maps=("default: -y -x -z -ry -rx -rz", "SpaceMouseCompakt: +x +y +z none none none"))
    )
    mouse = SpaceMouse(profiles)
    mouse.poll(0)
    assert mouse.name == "SpaceMouseCompact (axis map default)"
    assert is_attached(PROFILES)
    assert not is_attached(PROFILES, "SpaceMouseWireless")
    with pytest.raises(ConfigError, match=r"spacemouse_model = 'NoSuchMouse' is not one of .*SpaceMouseCompact"):
        SpaceMouse(PROFILES, model="NoSuchMouse")


def test_an_axis_map_that_does_not_fit_keeps_it_closed(port):
    port.plug(COMPACT)
    mouse = SpaceMouse(Profiles(ProfileConfig(axis_maps=("default: +9 none none none none none",))))
    assert not mouse.poll(0).connected
    assert "names axis 9" in mouse.problem


def test_opening_prints_nothing(port, capsys):
    port.plug(COMPACT)
    SpaceMouse(PROFILES).poll(0)
    assert capsys.readouterr().out == ""


@settings(max_examples=200)
@given(
    st.sampled_from(MODELS),
    st.lists(st.tuples(st.integers(1, 300), st.lists(st.binary(min_size=1, max_size=32), max_size=3)), max_size=30),
)
def test_any_bytes_keep_motion_within_its_scales_without_raising(model, polls):
    with made_up_hidapi() as port:
        mouse, mapping, now = opened(port, model), AxisMapping(MappingConfig()), SECOND
        for wait_ms, reports in polls:
            now += wait_ms * MS
            port.reports += reports
            sample = mouse.poll(now)
            if sample is not None:
                assert sample.connected or "silent" in mouse.problem
                mapped = mapping.apply(sample)
                assert np.all(np.abs(mapped.values[:3]) <= 0.4 + 1e-6)
                assert np.all(np.abs(mapped.values[3:]) <= 1.5 + 1e-6)
                assert set(mapped.events) <= set(OperatorEvent)


def test_the_reading_thread_reports_a_pulled_plug_and_the_return(port):
    published, news, lines = [], threading.Condition(), []

    def publish(sample):
        with news:
            published.append(sample)
            news.notify_all()

    def wait_for(condition):
        with news:
            assert news.wait_for(lambda: condition(published[-1]), 10.0), (published[-1:], lines)

    deflected = axes_report(1, 0, -350, 0, 0, 0, 0)
    port.plug(WIRELESS)
    mouse = SpaceMouse(PROFILES, reconnect_s=0.01, stale_s=0.0, settle_s=0.0)
    feed = OperatorPublication(20 * MS)
    reading = DeviceReader(mouse, AxisMapping(MappingConfig()), feed, 0.001, publish, lines.append)
    publish(feed.take_always(0))
    reading.start()
    try:
        wait_for(lambda sample: sample.connected)
        port.reports.append(axes_report(1, *[0] * 6))
        wait_for(lambda _: not port.reports)
        port.reports.append(deflected)
        wait_for(lambda sample: sample.active and sample.values[0] > 0.1)
        port.unplug()
        wait_for(lambda sample: not sample.connected and not sample.active)
        port.plug(WIRELESS)
        wait_for(lambda sample: sample.connected and not sample.active)
    finally:
        reading.close()
    assert not published[-1].connected
    assert lines[0] == "SpaceMouseWireless: connected"
    assert lines[1].startswith("SpaceMouseWireless: not connected, lost: HIDException")
    assert lines[-1] == "SpaceMouseWireless: connected"
