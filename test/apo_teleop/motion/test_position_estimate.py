"""Where the tip may be between two poses, and the box kept there."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apo_teleop.motion.limits import MotionLimits
from apo_teleop.motion.position_estimate import PositionEstimate

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


def test_only_motion_in_the_wanted_direction_counts():
    estimate = PositionEstimate()
    estimate.observe((0.1, 0.2, 0.3), 0, 0)
    estimate.executed(OUT, 0)
    estimate.executed(BACK, 100 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 200 * MS), [0.125, 0.2, 0.3])
    np.testing.assert_allclose(estimate.towards(BACK, 200 * MS), [0.075, 0.2, 0.3])
    np.testing.assert_allclose(estimate.towards(STILL, 200 * MS), [0.1, 0.2, 0.3])


def test_an_older_pose_changes_nothing_and_one_ahead_counts_as_now():
    estimate = PositionEstimate()
    estimate.executed(OUT, 0)
    estimate.observe((0.5, 0, 0), 150 * MS, 100 * MS)
    estimate.observe((0.1, 0, 0), 90 * MS, 120 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 140 * MS), [0.51, 0, 0])


def test_time_that_starts_over_resets_pose_and_commands():
    estimate = PositionEstimate()
    estimate.executed(OUT, 10_000 * MS)
    estimate.observe((0.5, 0, 0), 10_000 * MS, 10_000 * MS)
    assert estimate.towards(OUT, 100 * MS) is None
    estimate.observe((0.1, 0, 0), 50 * MS, 100 * MS)
    np.testing.assert_allclose(estimate.towards(OUT, 200 * MS), [0.1, 0, 0])


def test_while_the_pose_stands_still_the_tip_ends_at_the_border(small_contract):
    limits, estimate, tip, now = MotionLimits(small_contract), PositionEstimate(), 0.96, 0
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
def test_an_arm_that_follows_its_commands_stays_inside_the_box(small_contract, course):
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
