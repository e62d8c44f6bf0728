import numpy as np
import pytest

from apo_core.actions import GripperScale
from apo_sim_bridge.pending_command import PendingCommand

LOW, HIGH = [-1.0] * 7, [1.0] * 7


@pytest.fixture
def pending():
    return PendingCommand(LOW, HIGH, "base", GripperScale(0.08, 0.0), timeout_ns=200)


def test_newest_twist_is_executed_until_its_timeout(pending):
    assert pending.put_twist([0.1] * 6, "base", 11, now_ns=0) == ""
    assert pending.put_twist([0.2] * 6, "base", 12, now_ns=100) == ""
    assert pending.put_gripper(0.02, 12) == ""
    execution = pending.take(300)
    np.testing.assert_array_equal(execution.action, np.array([0.2] * 6 + [0.5], np.float32))
    assert execution.action.dtype == np.float32 and execution.observation_stamp_ns == 12
    stale = pending.take(301)
    np.testing.assert_array_equal(stale.action, np.array([0, 0, 0, 0, 0, 0, 0.5], np.float32))
    assert stale.observation_stamp_ns == 0


def test_arm_stands_still_with_an_open_gripper_at_first(pending):
    np.testing.assert_array_equal(pending.take(0).action, np.array([0, 0, 0, 0, 0, 0, -1], np.float32))


def test_clear_drops_twist_and_opens_gripper(pending):
    pending.put_twist([0.5] * 6, "base", 11, 0)
    pending.put_gripper(0.0, 11)
    pending.clear()
    np.testing.assert_array_equal(pending.take(0).action, np.array([0, 0, 0, 0, 0, 0, -1], np.float32))
    assert not pending.answers(11)


def test_rounding_beyond_a_limit_is_cut_off(pending):
    assert pending.put_twist([1.001, -1.001, 0, 0, 0, 0], "base", 11, 0) == ""
    assert pending.put_gripper(-0.00004, 11) == ""
    np.testing.assert_array_equal(pending.take(0).action, np.array([1, -1, 0, 0, 0, 0, 1], np.float32))


@pytest.mark.parametrize(
    ("twist", "frame", "fault"),
    [
        ([0.0] * 5, "base", "6 finite numbers"),
        ([float("nan")] + [0.0] * 5, "base", "6 finite numbers"),
        ([0.0] * 5 + [float("inf")], "base", "6 finite numbers"),
        ([1.1] + [0.0] * 5, "base", "outside"),
        ([0.0] * 6, "world", "has the frame 'world', must have 'base'"),
    ],
)
def test_unusable_twist_stops_the_arm(pending, twist, frame, fault):
    pending.put_twist([0.5] * 6, "base", 11, 0)
    pending.put_gripper(0.02, 11)
    assert fault in pending.put_twist(twist, frame, 12, 0)
    execution = pending.take(0)
    np.testing.assert_array_equal(execution.action, np.array([0, 0, 0, 0, 0, 0, 0.5], np.float32))
    assert execution.observation_stamp_ns == 0


@pytest.mark.parametrize("position", [float("nan"), float("inf"), 0.1, -0.01])
def test_unusable_position_leaves_the_gripper(pending, position):
    pending.put_twist([0.5] * 6, "base", 11, 0)
    pending.put_gripper(0.02, 11)
    assert "position" in pending.put_gripper(position, 12)
    np.testing.assert_array_equal(pending.take(0).action, np.full(7, 0.5, np.float32))


def test_a_tick_is_answered_by_both_with_its_stamp(pending):
    assert not pending.answers(11)
    pending.put_twist([0.1] * 6, "base", 11, 0)
    assert not pending.answers(11)
    pending.put_gripper(0.08, 10)
    assert not pending.answers(11) and not pending.answers(10)
    pending.put_gripper(0.08, 11)
    assert pending.answers(11)
    pending.put_twist([float("nan")] * 6, "base", 12, 0)
    pending.put_gripper(float("nan"), 12)
    assert pending.answers(12)
