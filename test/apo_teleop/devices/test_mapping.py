"""Deflection to motion: dead zone, curve, scale, activity."""

import numpy as np
import pytest

from apo_core.config.parameters import build
from apo_core.errors import ConfigError
from apo_teleop.devices.device import DeviceSample, disconnected
from apo_teleop.devices.mapping import AxisMapping, MappingConfig


def sample(*axes, **other):
    return DeviceSample(7, True, np.array([*axes, *[0.0] * (6 - len(axes))]), **other)


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
def test_each_axis_keeps_its_place_and_sign(row, sign):
    deflection = np.zeros(6)
    deflection[row] = sign
    values = AxisMapping(linear(linear_scale=1.0, angular_scale=1.0)).apply(DeviceSample(0, True, deflection)).values
    expected = np.zeros(7)
    expected[row] = sign
    np.testing.assert_allclose(values, expected)


def test_events_and_stamp_go_on():
    mapped = AxisMapping(MappingConfig()).apply(sample(events=("success",)))
    assert mapped.events == ("success",) and mapped.stamp_ns == 7
    assert AxisMapping(MappingConfig()).apply(disconnected(9)).stamp_ns == 9


def test_a_held_device_goes_on_acting_without_motion_but_does_not_begin_to():
    mapping = AxisMapping(linear(activity_on=0.2, activity_off=0.1))
    assert not mapping.apply(sample(0.0, held=True)).active
    assert mapping.apply(sample(0.5)).active
    still = mapping.apply(sample(0.0, held=True))
    assert still.active and not still.values.any()
    assert mapping.apply(sample(0.15)).values[0] > 0
    assert not mapping.apply(sample(0.0)).active


def test_a_lost_device_rests_and_must_deflect_anew():
    mapping = AxisMapping(linear(activity_on=0.5, activity_off=0.1))
    assert mapping.apply(sample(0.6)).active
    lost = mapping.apply(disconnected(0))
    assert not lost.connected and not lost.active and not lost.values.any()
    assert not mapping.apply(sample(0.4)).active


def test_a_threshold_that_no_deflection_exceeds_is_an_error():
    with pytest.raises(ConfigError, match=r"activity_on = 1\.0 is above its limit 0\.9"):
        build(MappingConfig, {"activity_on": 1.0}, "config/teleop.yaml")


def test_thresholds_in_the_wrong_order_are_an_error():
    with pytest.raises(ConfigError, match=r"activity_off = 0\.2 must be at most activity_on = 0\.1"):
        MappingConfig(activity_on=0.1, activity_off=0.2)
