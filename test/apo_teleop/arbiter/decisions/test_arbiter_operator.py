"""The arbiter and its operator: takeover, rest, hand-back, the gripper."""

import dataclasses

import numpy as np
import pytest
from arbiter_rig import CONTRACT, PERIOD, RIGHT, ROWS, Rig, with_limits

from apo_core.types import ControlSource
from apo_teleop.arbiter.types import ControlState, OperatorInput


@pytest.mark.parametrize(("measured", "held"), [(-0.9, -1.0), (0.7, 1.0), (float("nan"), -1.0)])
def test_before_a_command_the_gripper_is_where_it_is_measured(measured, held):
    rig = Rig(start_enabled=False)
    rig.arbiter.on_gripper(measured)
    assert rig.tick().values[6] == held
    rig.arbiter.enable(True)
    rig.tick(policy=False)
    assert rig.tick(RIGHT, policy=False).values[6] == held
    assert rig.tick(events=("gripper_toggle",), policy=False).values[6] == -held
    rig.arbiter.on_gripper(held)
    assert rig.tick(RIGHT, policy=False).values[6] == -held


def test_first_motion_takes_over_at_once_with_the_policy_in_shadow():
    rig = Rig()
    rig.tick()
    decision = rig.tick(RIGHT)
    assert (decision.state, decision.source, decision.reason) == (
        ControlState.HUMAN,
        ControlSource.HUMAN,
        "operator_motion",
    )
    assert decision.takeover and rig.takeovers == 1
    np.testing.assert_allclose(decision.values, [0, -0.3, 0, 0, 0, 0.5, -1])
    np.testing.assert_allclose(decision.human_values, decision.values)
    np.testing.assert_array_equal(decision.policy_values, ROWS[0])
    assert not rig.tick(RIGHT).takeover


def test_rest_within_the_window_stays_human_and_stands_still():
    rig = Rig(hand_back_s=0.5)
    rig.tick(RIGHT)
    for _ in range(9):
        decision = rig.tick()
        assert (decision.source, decision.reason) == (ControlSource.HUMAN, "operator_rest")
        np.testing.assert_array_equal(decision.values, [0, 0, 0, 0, 0, 0, -1])
        np.testing.assert_array_equal(decision.human_values, decision.values)
    decision = rig.tick()
    assert (decision.source, decision.reason) == (ControlSource.POLICY, "policy_in_control")
    assert decision.human_values is None


def test_motion_within_the_window_restarts_it_without_a_takeover():
    rig = Rig()
    rig.tick(RIGHT)
    for _ in range(8):
        rig.tick()
    rig.tick(RIGHT)
    assert all(rig.tick().source is ControlSource.HUMAN for _ in range(9))
    assert rig.takeovers == 1


def test_hand_back_button_ends_the_window():
    rig = Rig()
    rig.tick(RIGHT)
    assert rig.tick(events=("hand_back",)).source is ControlSource.POLICY


def test_with_hand_back_by_button_rest_never_gives_control_back():
    rig = Rig(hand_back="button", hand_back_s=0.0)
    rig.tick(RIGHT)
    for _ in range(200):
        assert rig.tick().reason == "operator_rest"
    assert rig.tick(events=("hand_back",)).source is ControlSource.POLICY


def test_hand_back_by_service_counts_for_an_operator_in_control_only():
    rig = Rig(hand_back="button")
    rig.tick()
    assert not rig.arbiter.hand_back()
    rig.tick(RIGHT)
    rig.tick()
    assert rig.arbiter.hand_back()
    assert rig.tick().source is ControlSource.POLICY


def test_hand_back_pressed_while_moving_counts_from_the_first_rest():
    rig = Rig()
    rig.tick(RIGHT)
    assert rig.tick(RIGHT, events=("hand_back",)).source is ControlSource.HUMAN
    assert rig.tick(RIGHT).source is ControlSource.HUMAN
    assert rig.tick().source is ControlSource.POLICY


def test_after_hand_back_only_a_chunk_from_a_fresh_observation_executes():
    rig = Rig()
    rig.tick(RIGHT)
    takeover = rig.now
    rig.chunk_stamp_ns = takeover + PERIOD // 2
    decision = rig.tick(events=("hand_back",))
    handed_back = rig.now
    assert (decision.state, decision.source, decision.reason) == (
        ControlState.HOLD,
        ControlSource.HOLD,
        "awaiting_fresh_chunk",
    )
    assert decision.policy_values is not None
    rig.chunk_stamp_ns = handed_back - 1
    assert rig.tick().reason == "awaiting_fresh_chunk"
    rig.chunk_stamp_ns = handed_back
    decision = rig.tick()
    assert decision.source is ControlSource.POLICY
    np.testing.assert_allclose(decision.values[0], 0.3, atol=1e-6)


def test_gripper_button_takes_over_and_flips_the_last_executed_gripper():
    rig = Rig()
    rig.rows = ROWS.copy()
    rig.rows[:, 6] = 1.0
    assert rig.tick().values[6] == 1.0
    decision = rig.tick(events=("gripper_toggle",))
    assert (decision.source, decision.reason, decision.values[6]) == (ControlSource.HUMAN, "operator_motion", -1.0)
    assert rig.tick(RIGHT).values[6] == -1.0
    assert rig.tick(RIGHT, events=("gripper_toggle",)).values[6] == 1.0
    assert rig.tick(RIGHT, events=("gripper_toggle", "gripper_toggle")).values[6] == 1.0
    assert rig.tick().values[6] == 1.0


def test_takeover_keeps_the_gripper_and_a_device_may_set_it():
    rig = Rig()
    rig.rows = ROWS.copy()
    rig.rows[:, 6] = 0.6
    rig.tick()
    assert rig.tick(RIGHT).values[6] == pytest.approx(0.6)
    assert rig.tick(np.array([0, 0, 0.1, 0, 0, 0, -1.0], np.float32)).values[6] == -1.0
    assert rig.tick(RIGHT).values[6] == -1.0


def test_a_short_blindness_does_not_hand_back():
    rig = Rig()
    rig.tick(RIGHT)
    assert rig.tick(pose=False).reason == "observation_missing"
    decision = rig.tick()
    assert (decision.source, decision.reason) == (ControlSource.HUMAN, "operator_rest")
    assert rig.takeovers == 1


def test_the_gripper_is_within_its_range_before_any_command():
    action = dataclasses.replace(CONTRACT.action, low=(*CONTRACT.action.low[:6], 0.0))
    rig = Rig(dataclasses.replace(CONTRACT, action=action), start_enabled=False)
    assert rig.tick().values[6] == 0.0
    assert not rig.arbiter.has_gripped
    rig.arbiter.enable(True)
    rig.tick()
    assert rig.arbiter.has_gripped


@pytest.mark.parametrize(
    ("deflection", "events"), [(np.array([0, 0, 0.1, 0, 0, 0, 1.0], np.float32), ()), (None, ("gripper_toggle",))]
)
def test_an_operator_who_only_moves_the_arm_commands_no_gripper(deflection, events):
    rig = Rig()
    rig.tick(RIGHT)
    rig.tick(RIGHT, events=("gripper_toggle", "gripper_toggle"))
    rig.tick(deflection, events, duplicate="ee_pose")  # not executed
    assert not rig.arbiter.has_gripped
    rig.tick(RIGHT)
    assert rig.tick(deflection, events).source is ControlSource.HUMAN
    assert rig.arbiter.has_gripped
    rig.tick(RIGHT)
    assert rig.arbiter.has_gripped


def test_a_takeover_blends_and_names_the_limit_that_requires_it():
    rig = Rig(contract=with_limits(linear_acceleration=8.0, linear_jerk=40.0, angular_acceleration=None))
    rig.rows = np.tile(np.array([0.4, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
    for _ in range(10):
        rig.tick()
    decisions = [rig.tick(np.array([-0.4, 0, 0, 0, 0, 0, 0], np.float32)) for _ in range(8)]
    # 0.8 m/s at a peak jerk of 40 m/s^3 take 0.3398 s; a tick is 0.1472 of it
    speeds = [decision.values[0] for decision in decisions]
    expected = [0.380, 0.276, 0.087, -0.130, -0.305, -0.389, -0.4, -0.4]
    np.testing.assert_allclose(speeds, expected, atol=1e-3)
    assert decisions[0].takeover and decisions[0].human_values[0] == pytest.approx(-0.4)
    assert [decision.clipped for decision in decisions] == [("limits.linear_jerk",)] * 6 + [()] * 2


def test_what_cannot_wait_for_the_next_tick():
    rig = Rig()
    rig.tick()
    rest = OperatorInput(rig.now, rig.now, True, False, np.zeros(7, np.float32))
    moving = dataclasses.replace(rest, active=True, values=RIGHT)
    assert not rig.arbiter.on_operator_sample(rest)
    assert rig.arbiter.on_operator_sample(moving)
    assert rig.arbiter.on_operator_sample(dataclasses.replace(rest, events=("gripper_toggle",)))
    assert rig.arbiter.on_operator_sample(dataclasses.replace(rest, events=("estop",)))
    assert not rig.arbiter.on_operator_sample(dataclasses.replace(moving, connected=False))
    rig.tick(RIGHT)
    assert not rig.arbiter.on_operator_sample(moving)
    assert rig.arbiter.on_operator_sample(dataclasses.replace(rest, connected=False))


def test_rejected_motion_is_urgent_only_once():
    rig = Rig()
    rig.tick()
    broken = OperatorInput(rig.now, rig.now, True, True, np.full(7, np.nan, np.float32))
    assert rig.arbiter.on_operator_sample(broken)
    rig.tick(np.full(7, np.nan, np.float32))
    assert not rig.arbiter.on_operator_sample(broken)


def test_a_deflected_device_that_pauses_was_not_let_go_of():
    rig = Rig()
    rig.arbiter.estop()
    rig.tick(RIGHT)
    rig.arbiter.clear()
    assert rig.tick(RIGHT).reason == "operator_not_at_rest"
    sent = rig.now
    silent = [rig.tick(RIGHT, operator={"receive_ns": sent, "stamp_ns": sent}).reason for _ in range(20)]
    assert set(silent) == {"operator_not_at_rest"}
    assert rig.tick().source == ControlSource.POLICY


def test_a_resting_device_that_pauses_leaves_the_policy_in_control():
    rig = Rig()
    rig.tick()
    sent = rig.now
    assert {rig.tick(operator={"receive_ns": sent, "stamp_ns": sent}).source for _ in range(20)} == {
        ControlSource.POLICY
    }
