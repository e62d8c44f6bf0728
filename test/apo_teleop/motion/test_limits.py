"""Range, step, speed and workspace of one command."""

import dataclasses

import numpy as np
import pytest

from apo_teleop.motion.limits import MotionLimits


@pytest.fixture
def make(small_contract):
    """(limits) -> the limits of a robot at 10 Hz in a box of 2 x 2 x 1 m."""
    return lambda **limits: MotionLimits(
        dataclasses.replace(small_contract, limits=dataclasses.replace(small_contract.limits, **limits))
    )


def test_what_is_within_stays_as_it_is(make):
    assert make().bound([0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 1.0]) == ([0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 1.0], [])


def test_speeds_keep_their_direction(make):
    action, clipped = make(linear_speed=0.5, angular_speed=0.1).bound([0.6, 0.8, 0, 0, 0, -0.4, 0])
    np.testing.assert_allclose(action, [0.3, 0.4, 0, 0, 0, -0.1, 0])
    assert clipped == ["limits.linear_speed", "limits.angular_speed"]


def test_rounding_is_not_reported(make):
    action, clipped = make().bound([1.000001, 0, 0, 0, 0, 0, -1.000001])
    assert action == [1.0, 0, 0, 0, 0, 0, -1.0] and clipped == []


def test_the_tighter_of_step_and_range_is_named(make):
    limits = make(step=(0.05, 0.2, 0.05, 0.05, 0.05, 0.05))
    assert limits.bound([0, 2.0, 0, 0, 0, 0, 0]) == ([0, 1.0, 0, 0, 0, 0, 0], ["action.high.b"])
    assert limits.bound([-2.0, 0, 0, 0, 0, 0, 0]) == ([-0.5, 0, 0, 0, 0, 0, 0], ["limits.step.a"])


@pytest.mark.parametrize(
    ("position", "wanted", "allowed", "key"),
    [
        ((0.95, 0, 0.5), (0.9, 0, 0), (0.5, 0, 0), "limits.workspace_high.x"),
        ((0, -0.98, 0.5), (0, -0.9, 0), (0, -0.2, 0), "limits.workspace_low.y"),
        ((0, 0, 1.3), (0.1, 0, 0.4), (0.1, 0, 0), "limits.workspace_high.z"),
        ((0, 0, 1.3), (0.1, 0, -0.4), (0.1, 0, -0.4), None),
    ],
)
def test_without_an_acceleration_the_border_is_one_tick_away(make, position, wanted, allowed, key):
    action = [*wanted, 0, 0, 0, 0]
    assert make().keep_in_box(action, position) == [key] * (key is not None)
    np.testing.assert_allclose(action[:3], allowed, atol=1e-9)


@pytest.mark.parametrize(
    ("distance", "speed"),
    # 1 m/s^2 along an axis is 0.1 m/s a tick: 0.01 m from 0.1, 0.03 m from 0.2, 0.06 m from 0.3 m/s
    [(0.005, 0.05), (0.01, 0.1), (0.02, 0.15), (0.03, 0.2), (0.045, 0.25), (0.06, 0.3), (0.0, 0.0), (-0.1, 0.0)],
)
def test_with_an_acceleration_the_speed_can_end_before_the_border(make, distance, speed):
    action = [0.9, 0, 0, 0, 0, 0, 0]
    make(linear_acceleration=3**0.5).keep_in_box(action, (1.0 - distance, 0.0, 0.5))
    assert action[0] == pytest.approx(speed)
