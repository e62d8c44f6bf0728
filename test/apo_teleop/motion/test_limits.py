"""Range, step, speed and workspace of one command."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apo_teleop.motion.limits import MotionLimits, PositionEstimate


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
def test_without_an_acceleration_the_border_is_reached_in_one_tick_at_the_earliest(
    make, position, wanted, allowed, key
):
    action = [*wanted, 0, 0, 0, 0]
    assert make().keep_in_box(action, position) == [key] * (key is not None)
    np.testing.assert_allclose(action[:3], allowed, atol=1e-9)


@pytest.mark.parametrize(
    ("distance", "speed"),
    # 1 m/s^2 along an axis is 0.1 m/s a tick: 0.01 m from 0.1, 0.03 m from 0.2, 0.06 m from 0.3 m/s
    [(0.005, 0.05), (0.01, 0.1), (0.02, 0.15), (0.03, 0.2), (0.045, 0.25), (0.06, 0.3), (0.0, 0.0), (-0.1, 0.0)],
)
def test_with_an_acceleration_the_speed_is_one_that_can_end_before_the_border(make, distance, speed):
    action = [0.9, 0, 0, 0, 0, 0, 0]
    make(linear_acceleration=3**0.5).keep_in_box(action, (1.0 - distance, 0.0, 0.5))
    assert action[0] == pytest.approx(speed)


OUT, BACK, STILL = [0.25, 0, 0, 0, 0, 0, 0], [-0.25, 0, 0, 0, 0, 0, 0], [0.0] * 7
MS = 1_000_000


def test_before_a_pose_the_place_is_unknown():
    estimate = PositionEstimate()
    estimate.executed(OUT, 0)
    assert estimate.towards(OUT, 50 * MS) is None


def test_what_was_commanded_since_the_pose_was_taken_counts_as_executed():
    estimate = PositionEstimate()
    estimate.executed(OUT, 0)
    estimate.observe((0.1, 0.2, 0.3), 60 * MS, 100 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 100 * MS), [0.11, 0.2, 0.3])
    np.testing.assert_allclose(estimate.towards(OUT, 140 * MS), [0.12, 0.2, 0.3])
    estimate.executed(STILL, 140 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 900 * MS), [0.12, 0.2, 0.3])
    estimate.observe((0.1, 0.2, 0.3), 880 * MS, 900 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 900 * MS), [0.1, 0.2, 0.3])


def test_only_motion_in_the_direction_asked_for_counts():
    estimate = PositionEstimate()
    estimate.observe((0.1, 0.2, 0.3), 0, 0)
    estimate.executed(OUT, 0)
    estimate.executed(BACK, 100 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 200 * MS), [0.125, 0.2, 0.3])
    np.testing.assert_allclose(estimate.towards(BACK, 200 * MS), [0.075, 0.2, 0.3])
    np.testing.assert_allclose(estimate.towards(STILL, 200 * MS), [0.1, 0.2, 0.3])


def test_a_pose_older_than_that_before_changes_nothing_and_one_ahead_counts_as_now():
    estimate = PositionEstimate()
    estimate.executed(OUT, 0)
    estimate.observe((0.5, 0, 0), 150 * MS, 100 * MS)
    estimate.observe((0.1, 0, 0), 90 * MS, 120 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 140 * MS), [0.51, 0, 0])


def test_time_that_starts_over_forgets_pose_and_commands():
    estimate = PositionEstimate()
    estimate.executed(OUT, 10_000 * MS)
    estimate.observe((0.5, 0, 0), 10_000 * MS, 10_000 * MS)
    assert estimate.towards(OUT, 100 * MS) is None
    estimate.observe((0.1, 0, 0), 50 * MS, 100 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 200 * MS), [0.1, 0, 0])


def test_while_the_pose_stands_still_the_tip_ends_at_the_border(make):
    limits, estimate, tip, now = make(), PositionEstimate(), 0.96, 0
    clipped = []
    for _ in range(8):
        estimate.observe((0.96, 0.0, 0.5), 0, now)
        action = list(OUT)
        clipped += limits.keep_in_box(action, estimate.towards(action, now))
        estimate.executed(action, now)
        tip, now = tip + 0.1 * action[0], now + 100 * MS
    assert tip == pytest.approx(1.0) and set(clipped) == {"limits.workspace_high.x"}


def in_and_out():
    speeds = st.lists(st.floats(-1, 1), min_size=3, max_size=3)
    return st.lists(st.tuples(speeds, st.integers(1, 100), st.booleans()), min_size=1, max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the contract is only read
@given(in_and_out())
def test_with_no_course_of_commands_and_poses_does_an_arm_that_does_as_told_leave_the_box(small_contract, course):
    limits, estimate, tip, now = MotionLimits(small_contract), PositionEstimate(), np.array([0.9, 0.0, 0.5]), 0
    estimate.observe(tip, 0, 0)
    for wanted, lasts_ms, measured in course:
        if measured:
            estimate.observe(tip, now, now)
        action = [*wanted, 0, 0, 0, 0]
        limits.keep_in_box(action, estimate.towards(action, now))
        estimate.executed(action, now)
        tip, now = tip + np.array(action[:3]) * lasts_ms * 1e-3, now + lasts_ms * MS
        assert np.all(tip <= [1.0 + 1e-9] * 3) and np.all(tip >= np.array([-1.0, -1.0, 0.0]) - 1e-9)
