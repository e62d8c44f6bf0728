"""sensor_msgs/Joy as an operator device: what counts, what is rejected, what zeros mean."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apo_core.errors import ConfigError
from apo_teleop.devices.joy import JoyConfig, JoyDevice
from apo_teleop.devices.mapping import AxisMapping, MappingConfig
from apo_teleop.devices.profiles import ProfileConfig, Profiles

MS, SECOND = 1_000_000, 1_000_000_000
PROFILES = Profiles(ProfileConfig())
REST = [0.0] * 6
ROS = 1_700_000_000 * SECOND  # ROS time at steady time 0


class Joystick:
    """A device and its publisher."""

    def __init__(self, preset="gamepad", **config):
        self.device = JoyDevice(JoyConfig(joy_preset=preset, **config), PROFILES)
        self.mapping = AxisMapping(MappingConfig())

    def put(self, now, axes, buttons=(), age=0, **other):
        stamp = other.get("stamp", ROS + now - age)
        self.device.put(stamp, ROS + now, now, axes, buttons)

    def sent(self, now, axes, buttons=(), **other):
        """The sample after a message."""
        self.put(now, axes, buttons, **other)
        return self.device.poll(now)

    def ready(self, at=0):
        """Connected and at rest until `at` + 10 s."""
        self.sent(at, REST, [0, 0, 0])
        self.sent(at + 10 * SECOND, REST, [0, 0, 0])
        return self


def test_before_a_message_it_is_not_connected_and_reports_it_once():
    device = Joystick().device
    assert not device.poll(0).connected
    assert device.poll(1) is None
    assert device.problem == "no message on joy yet"


def test_deflection_is_mapped_with_the_stamp_of_the_message():
    stick = Joystick().ready()
    now = 11 * SECOND
    sample = stick.sent(now, [-0.5, 1.0, 0.0, 0.0, 0.0, 0.0], age=30 * MS)
    np.testing.assert_allclose(sample.axes, [1, -0.5, 0, 0, 0, 0])
    assert sample.connected and sample.stamp_ns == now - 30 * MS
    assert stick.device.poll(now + MS) is None
    assert stick.device.problem == ""


def test_of_several_messages_the_last_counts_and_no_button_is_lost():
    stick = Joystick().ready()
    now = 11 * SECOND
    stick.put(now, REST, [1, 0, 0])
    stick.put(now + MS, [0, 0.4, 0, 0, 0, 0], [0, 0, 1])
    sample = stick.device.poll(now + 2 * MS)
    assert sample.events == ("gripper_toggle", "hand_back") and sample.axes[0] == 0.4


def test_buttons_that_spacenav_leaves_out_are_as_before():
    stick = Joystick("spacenav").ready()
    events = [
        stick.sent(11 * SECOND + step * 31 * MS, REST, buttons).events
        for step, buttons in enumerate(([], [1], [], [], [0], [0, 1], [], [0, 0], [1]))
    ]
    assert events == [(), ("gripper_toggle",), (), (), (), ("hand_back",), (), (), ("gripper_toggle",)]


def test_a_button_that_is_down_at_first_does_nothing_but_stop():
    stick = Joystick()
    assert stick.sent(0, REST, [1, 1, 1, 1]).events == ("estop",)
    assert stick.sent(MS, REST, [1, 1, 1, 1]).events == ()


def test_a_button_without_a_role_reports_that_somebody_is_there():
    assert Joystick("spacenav").ready().sent(11 * SECOND, REST, [0, 0, 1]).events == ("present",)


def test_a_stream_that_stops_at_rest_is_gone_until_its_next_message():
    stick = Joystick().ready()
    stick.sent(10 * SECOND + 50 * MS, REST, [0, 0, 0])
    stick.sent(11 * SECOND, REST, [0, 0, 0])
    assert stick.device.poll(12 * SECOND) is None
    lost = stick.device.poll(12 * SECOND + MS)
    assert not lost.connected
    assert stick.device.problem == "silent for 1.00 s while at rest (its autorepeat rate must be above 0)"
    assert stick.device.poll(16 * SECOND) is None
    assert stick.sent(16 * SECOND + MS, REST).connected


def hold(stick, axes, seconds, begin=11 * SECOND):
    """The message with which the device is lost while the same one comes every 50 ms; None: it is not."""
    for step in range(seconds * 20 + 1):
        sample = stick.sent(begin + step * 50 * MS, axes, [0, 0, 0])
        if not sample.connected:
            return step
    return None


def test_a_deflection_that_never_changes_is_lost_until_it_has_been_at_rest():
    stick = Joystick(joy_same_s=5.0).ready()
    assert hold(stick, [0.0, 0.5, 0, 0, 0, 0], 10) == 101
    assert stick.device.problem == "the same message for 5.1 s while deflected, joy_same_s = 5"
    sample = stick.sent(17 * SECOND, [0.0, 0.5, 0, 0, 0, 0], [0, 0, 0])
    assert sample.connected and not sample.axes.any()
    assert stick.device.problem.startswith("waits: it is deflected")
    assert hold(stick, REST, 1, 18 * SECOND) is None
    assert stick.sent(20 * SECOND, [0.0, 0.5, 0, 0, 0, 0], [0, 0, 0]).axes[0] == 0.5


def test_a_deflection_that_changes_a_little_or_does_not_move_is_kept():
    stick = Joystick().ready()
    for step in range(400):
        assert stick.sent(11 * SECOND + step * 50 * MS, [0.0, 0.5 + 0.004 * (step % 2), 0, 0, 0, 0]).connected
    assert hold(Joystick().ready(), [0.0, 0.09, 0, 0, 0, 0], 20) is None
    assert hold(Joystick().ready(), REST, 20) is None
    assert hold(Joystick(joy_same_s=0.0).ready(), [0.0, 0.5, 0, 0, 0, 0], 20) is None


@pytest.mark.parametrize(
    ("axes", "other", "reason"),
    [
        ([0.0] * 5, {}, "5 axes, preset gamepad has 6"),
        ([0.0] * 8, {}, "8 axes, preset gamepad has 6"),
        ([], {}, "0 axes"),
        ([0.0, math.nan, 0, 0, 0, 0], {}, "not finite"),
        ([0.0, 0, 0, 0, math.inf, 0], {}, "not finite"),
        (REST, {"age": 201 * MS}, "0.201 s old"),
        (REST, {"age": -101 * MS}, "0.101 s ahead"),
        (REST, {"stamp": 0}, "no stamp"),
        (REST, {"stamp": 12 * SECOND}, "s old .*use_sim_time"),
    ],
)
def test_what_is_rejected_ends_the_control_with_its_reason(axes, other, reason):
    stick = Joystick().ready()
    assert stick.sent(11 * SECOND, [0, 1, 0, 0, 0, 0]).axes[0] == 1
    lost = stick.sent(11 * SECOND + 20 * MS, axes, **other)
    assert not lost.connected and not lost.axes.any()
    assert re.search(reason, stick.device.problem), stick.device.problem
    back = stick.sent(11 * SECOND + 40 * MS, [0, 1, 0, 0, 0, 0])
    assert back.connected and not back.axes.any()
    assert "let go" in stick.device.problem


@pytest.mark.parametrize(
    ("axes", "other"), [([0.0] * 5, {}), ([math.nan] * 6, {}), (REST, {"age": SECOND}), (REST, {"stamp": 0})]
)
def test_an_emergency_stop_counts_also_in_a_message_that_is_rejected(axes, other):
    stick = Joystick().ready()
    stopped = stick.sent(11 * SECOND, axes, [1, 1, 1, 1], **other)
    assert not stopped.connected and stopped.events == ("estop",)
    again = stick.mapping.apply(stick.sent(11 * SECOND + 20 * MS, axes, [0, 1], **other))
    assert not again.connected and again.events == ("estop",)
    assert stick.sent(11 * SECOND + 40 * MS, axes, [1, 0, 1], **other) is None


def test_an_emergency_stop_counts_also_while_there_are_two_publishers():
    stick = Joystick().ready()
    stick.device.publishers = 2
    assert stick.sent(11 * SECOND, REST, [0, 1]).events == ("estop",)


def test_what_was_pressed_before_a_rejected_message_of_the_same_poll_stops():
    stick = Joystick().ready()
    stick.put(11 * SECOND, REST, [1, 1])
    stick.put(11 * SECOND + MS, [math.nan] * 6)
    sample = stick.device.poll(11 * SECOND + 2 * MS)
    assert not sample.connected and sample.events == ("estop",)


def test_a_loss_is_reported_though_a_good_message_follows():
    stick = Joystick().ready()
    stick.put(11 * SECOND, [math.nan] * 6)
    stick.put(11 * SECOND + MS, REST)
    assert not stick.device.poll(11 * SECOND + 2 * MS).connected
    assert stick.device.poll(11 * SECOND + 5 * MS).connected


def test_the_same_fault_again_changes_no_word():
    stick = Joystick().ready()
    stick.sent(11 * SECOND, REST, age=300 * MS)
    problem = stick.device.problem
    stick.sent(11 * SECOND + 20 * MS, REST, age=310 * MS)
    assert stick.device.problem == problem
    stick.sent(11 * SECOND + 40 * MS, [math.nan] * 6)
    assert "not finite" in stick.device.problem


@pytest.mark.parametrize("age", [200 * MS, -100 * MS])
def test_stamps_at_the_limits_count(age):
    assert Joystick().ready().sent(11 * SECOND, REST, age=age).connected


def test_silence_loses_a_joystick_while_deflected_and_not_at_rest():
    stick = Joystick().ready()
    assert stick.device.poll(3600 * SECOND) is None
    now = 3600 * SECOND
    stick.sent(now, [0, 1, 0, 0, 0, 0])
    assert stick.device.poll(now + 200 * MS) is None
    assert not stick.device.poll(now + 201 * MS).connected
    assert "silent for 0.20 s while deflected" in stick.device.problem
    assert stick.device.poll(now + 300 * MS) is None


def test_a_restarted_publisher_moves_nothing_before_the_stick_has_rested():
    stick = Joystick().ready()
    now = 11 * SECOND
    stick.sent(now, [0, 1, 0, 0, 0, 0])
    stick.device.poll(now + SECOND)
    for step in range(20):
        sample = stick.sent(now + 2 * SECOND + step * 50 * MS, [0, 1, 0, 0, 0, 0])
        assert sample.connected and not sample.axes.any()
    stick.sent(now + 4 * SECOND, REST)
    assert stick.device.poll(now + 4 * SECOND + 199 * MS) is None
    stick.sent(now + 4 * SECOND + 200 * MS, REST)
    assert stick.sent(now + 4 * SECOND + 250 * MS, [0, 1, 0, 0, 0, 0]).axes[0] == 1


@pytest.mark.parametrize("publishers", [0, 2])
def test_other_than_one_publisher_is_rejected(publishers):
    stick = Joystick().ready()
    stick.sent(11 * SECOND, [0, 1, 0, 0, 0, 0])
    stick.device.publishers = publishers
    assert not stick.device.poll(11 * SECOND + 10 * MS).connected
    assert stick.device.problem == f"{publishers} publishers on joy"


def test_messages_of_two_publishers_are_rejected_until_one_is_left():
    stick = Joystick().ready()
    stick.device.publishers = 2
    assert not stick.sent(11 * SECOND, REST).connected
    assert stick.device.problem == "message rejected: 2 publishers on joy"
    stick.device.publishers = 1
    assert stick.sent(11 * SECOND + 50 * MS, REST).connected


def test_a_publisher_that_the_graph_does_not_show_yet_counts():
    stick = Joystick()
    stick.device.publishers = 0
    assert stick.sent(0, REST).connected


def test_zeros_of_spacenav_stop_motion_but_not_the_intervention():
    """The cap is held still: spacenav_node sends zeros every 31 ms though it is deflected."""
    stick = Joystick("spacenav").ready()
    now, pushed = 11 * SECOND, [0.6, 0, 0, 0, 0, 0]
    driving = stick.mapping.apply(stick.sent(now, pushed))
    assert driving.active and driving.values[0] > 0.1
    for step in range(1, 60):  # 1.9 s
        still = stick.mapping.apply(stick.sent(now + step * 31 * MS, REST))
        assert still.active and not still.values.any()
    moving = stick.mapping.apply(stick.sent(now + 60 * 31 * MS, pushed))
    assert moving.active and moving.values[0] > 0.1


def test_zeros_that_last_are_a_rest():
    stick = Joystick("spacenav").ready()
    now = 11 * SECOND
    stick.mapping.apply(stick.sent(now, [0.6, 0, 0, 0, 0, 0]))
    for step in range(1, 11):
        assert stick.mapping.apply(stick.sent(now + step * 199 * MS, REST)).active
    assert not stick.mapping.apply(stick.device.poll(now + 2 * SECOND)).active


def test_a_spacenav_that_falls_silent_while_held_is_lost():
    stick = Joystick("spacenav").ready()
    now = 11 * SECOND
    stick.sent(now, [0.6, 0, 0, 0, 0, 0])
    assert stick.sent(now + 31 * MS, REST).held
    assert not stick.device.poll(now + 233 * MS).connected


def test_a_gamepad_rests_with_its_first_zeros():
    stick = Joystick().ready()
    stick.mapping.apply(stick.sent(11 * SECOND, [0, 1, 0, 0, 0, 0]))
    assert not stick.mapping.apply(stick.sent(11 * SECOND + 50 * MS, REST)).active


def test_the_cross_of_a_gamepad_turns():
    stick = Joystick().ready()
    buttons = [0] * 21
    buttons[14] = 1
    np.testing.assert_array_equal(stick.sent(11 * SECOND, REST, buttons).axes, [0, 0, 0, 1, 0, 0])


def test_presets_come_from_lines():
    config = JoyConfig(joy_preset="mine", joy_presets=("mine: pad/joy 4 0.5",))
    preset = config.preset
    assert (preset.name, preset.topic, preset.size, preset.rest_ns) == ("mine", "pad/joy", 4, 500 * MS)
    with pytest.raises(ConfigError, match="axis_maps has no line for joy_preset = mine"):
        JoyDevice(config, PROFILES)


def test_every_fault_of_the_configuration_is_named():
    with pytest.raises(ConfigError) as error:
        JoyConfig(
            joy_preset="other",
            joy_presets=("a: joy six 0.0", "b: joy 6", "c: joy 0 0.0", "d: joy 6 -1", "e: joy 6 0", "f: my-joy 6 0"),
        )
    assert len(error.value.faults) == 6
    assert error.value.faults[-1] == "joy_preset = 'other' is not one of ['e']"


class Watcher:
    """What must have happened before a joystick may move anything, computed independently of the device."""

    def __init__(self, settle_ns):
        self.settle_ns, self.newest_ns, self.rest_from_ns, self.rested = settle_ns, None, None, False
        self.state = None

    def accepted(self, now, axes):
        self.newest_ns = now
        deflected = max(map(abs, axes)) > 0.06
        self.rest_from_ns = None if deflected else now if self.rest_from_ns is None else self.rest_from_ns

    def check(self, now, sample):
        self.state = sample = self.state if sample is None else sample  # None: as before
        if not sample.connected:
            self.rest_from_ns, self.rested = None, False
        if self.rest_from_ns is not None and now - self.rest_from_ns >= self.settle_ns:
            self.rested = True
        assert np.all(np.isfinite(sample.axes))
        if sample.held or np.max(np.abs(sample.axes)) > 0.06:
            assert sample.connected and self.rested and now - self.newest_ns <= 200 * MS


_AXES = st.one_of(
    st.just(REST),
    st.just([0, 0.5, 0, 0, 0, 0]),
    st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.05, 0.3, math.nan, math.inf]), min_size=5, max_size=7),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("message"), st.sampled_from([0, 16, 50, 199]), _AXES, st.sampled_from([-150, 0, 0, 150, 250])
        ),
        st.tuples(
            st.just("good"), st.sampled_from([16, 100, 199]), st.sampled_from(([0, 0.5, 0, 0, 0, 0], REST)), st.just(0)
        ),
        st.tuples(st.just("silence"), st.sampled_from([1, 100, 201, 3000]), st.just(REST), st.just(0)),
        st.tuples(st.just("publishers"), st.just(1), st.just(REST), st.sampled_from([0, 1, 1, 2])),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(st.sampled_from([("gamepad", 200 * MS), ("spacenav", 2 * SECOND)]), _STEPS)
def test_nothing_moves_but_by_fresh_good_messages_after_a_rest(preset, steps):
    stick, watcher, now = Joystick(preset[0]), Watcher(preset[1]), SECOND
    for kind, wait_ms, axes, extra in steps:
        now += wait_ms * MS
        watcher.check(now, stick.device.poll(now))
        if kind == "publishers":
            stick.device.publishers = extra
        elif kind != "silence":
            stick.put(now, axes, age=extra * MS)
            good = len(axes) == 6 and np.all(np.isfinite(axes)) and -100 <= extra <= 200
            counts = good and stick.device.publishers == 1
            if counts:
                watcher.accepted(now, axes)
        watcher.check(now, stick.device.poll(now))
        assert kind in ("silence", "publishers") or watcher.state.connected == counts
