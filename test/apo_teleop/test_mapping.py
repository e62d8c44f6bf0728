"""Deflection to motion: dead zone, curve, scale, axes, activity, button roles."""

import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_teleop.devices.device import DeviceSample, disconnected
from apo_teleop.mapping import AxisMapping, MappingConfig


def sample(*axes, pressed=(), events=()):
    return DeviceSample(0, True, np.array([*axes, *[0.0] * (6 - len(axes))]), pressed, events)


def linear(**changes):
    return MappingConfig(
        **{"dead_zone": 0.0, "expo": 0.0, "linear_scale": 0.5, "angular_scale": 2.0, "activity_off": 0.0, **changes}
    )


def test_full_deflection_gives_the_scales_and_leaves_the_gripper():
    mapped = AxisMapping(MappingConfig(linear_scale=0.5, angular_scale=2.0)).apply(sample(1, -1, 1, -1, 1, -1))
    np.testing.assert_allclose(mapped.values, [0.5, -0.5, 0.5, -2, 2, -2, 0], rtol=1e-6)
    assert mapped.connected and mapped.active and mapped.values.dtype == np.float32


def test_deflection_beyond_full_is_clamped():
    assert AxisMapping(linear()).apply(sample(1.4)).values[0] == pytest.approx(0.5)


def test_the_dead_zone_ends_without_a_step():
    mapping = AxisMapping(linear(dead_zone=0.2, activity_on=0.0))
    assert mapping.apply(sample(0.2)).values[0] == 0
    assert mapping.apply(sample(-0.19)).values[0] == 0
    assert mapping.apply(sample(0.6)).values[0] == pytest.approx(0.25)


def test_expo_blends_towards_the_cube():
    assert AxisMapping(linear(expo=1.0)).apply(sample(0.5)).values[0] == pytest.approx(0.5 * 0.125)
    assert AxisMapping(linear(expo=0.5)).apply(sample(-0.5)).values[0] == pytest.approx(-0.5 * 0.3125)


def test_activity_has_hysteresis():
    mapping = AxisMapping(linear(activity_on=0.2, activity_off=0.1))
    course = [mapping.apply(sample(x)).active for x in (0.15, 0.21, 0.15, 0.11, 0.09, 0.15, -0.3)]
    assert course == [False, True, True, True, False, False, True]


def test_a_resting_device_gives_no_motion():
    np.testing.assert_array_equal(AxisMapping(linear(activity_on=0.3)).apply(sample(0.29)).values, np.zeros(7))


@pytest.mark.parametrize("row", range(6))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_axis_of_the_default_map(row, sign):
    deflection = np.zeros(6)
    deflection[row] = sign
    values = AxisMapping(linear(linear_scale=1.0, angular_scale=1.0)).apply(DeviceSample(0, True, deflection)).values
    expected = np.zeros(7)
    expected[row] = sign
    np.testing.assert_allclose(values, expected)


def test_an_axis_map_swaps_flips_and_drops():
    mapping = AxisMapping(linear(axis_map=("-y", "+x", "+z", "0", "0", "-roll")))
    values = mapping.apply(sample(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)).values
    np.testing.assert_allclose(values, [-0.1, 0.05, 0.15, 0, 0, -0.8, 0], rtol=1e-6)


def test_buttons_become_events_and_unknown_ones_nothing():
    mapping = AxisMapping(MappingConfig(buttons=("0=gripper_toggle", "5=estop")))
    assert mapping.apply(sample(pressed=("5", "1", "0"))).events == ("estop", "gripper_toggle")
    assert mapping.apply(sample(events=("success",))).events == ("success",)


def test_a_lost_device_rests_and_must_deflect_anew():
    mapping = AxisMapping(linear(activity_on=0.5, activity_off=0.1))
    assert mapping.apply(sample(0.6)).active
    lost = mapping.apply(disconnected(0))
    assert not lost.connected and not lost.active and not lost.values.any()
    assert not mapping.apply(sample(0.4)).active


def test_every_fault_of_the_configuration_is_named():
    with pytest.raises(ConfigError) as error:
        MappingConfig(activity_on=0.1, activity_off=0.2, axis_map=("x",), buttons=("0=fly", "estop"))
    assert [fault.split(" ")[0] for fault in error.value.faults] == ["activity_off", "axis_map", "buttons:", "buttons:"]
    assert "config/teleop.yaml" in str(error.value)
