"""What ends motion until a person clears it: emergency stops, a lost device, a robot that does not follow."""

import numpy as np
import pytest
from arbiter_rig import CONTRACT, PERIOD, RIGHT, SECOND, START, WITH_FEEDBACK, Rig

from apo_core.types import ControlSource
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.types import ControlState, FeedbackInput, OperatorInput


def test_hold_decelerates_and_keeps_the_gripper():
    rig = Rig(linear_deceleration=4.0, angular_deceleration=20.0)
    rig.rows = np.tile(np.array([0.6, 0, 0, 0, 0, 1.5, 1], np.float32), (4, 1))
    rig.tick()
    speeds = [rig.tick(policy={"fault": "x"}).values for _ in range(4)]
    np.testing.assert_allclose([v[0] for v in speeds], [0.4, 0.2, 0, 0], atol=1e-6)
    np.testing.assert_allclose([v[5] for v in speeds], [0.5, 0, 0, 0], atol=1e-6)
    assert all(v[6] == 1.0 for v in speeds)


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"operator": {"connected": False}}, "device_lost"),
        ({"operator": False}, "device_lost"),
        ({"operator": {"receive_ns": START + 2 * PERIOD - 301_000_000}}, "operator_stale"),
        ({"deflection": np.full(7, np.nan, np.float32)}, "operator_invalid"),
    ],
)
def test_an_operator_lost_in_control_latches_until_cleared(spoiled, reason):
    rig = Rig()
    rig.tick(RIGHT)
    decision = rig.tick(**spoiled)
    assert (decision.source, decision.state, decision.reason, decision.latched) == (
        ControlSource.HOLD,
        ControlState.HOLD,
        reason,
        True,
    )
    assert rig.tick(RIGHT).reason == reason
    assert rig.tick().latched
    cleared = rig.arbiter.clear()
    assert (cleared, cleared.text) == ((reason, ""), f"cleared {reason}")
    assert rig.tick().source is ControlSource.POLICY
    assert rig.arbiter.clear().text == "nothing was latched"


def test_a_passing_fault_does_not_hide_a_lost_device():
    rig = Rig()
    rig.tick(RIGHT)
    assert rig.tick(operator={"connected": False}, pose=False, duplicate="policy/chunk").reason == "device_lost"
    assert rig.tick().latched


def test_after_clear_the_chunk_must_be_fresh():
    rig = Rig()
    rig.tick(RIGHT)
    rig.tick(operator={"connected": False})
    rig.chunk_stamp_ns = rig.now - 1
    rig.arbiter.clear()
    assert rig.tick().reason == "awaiting_fresh_chunk"


def test_a_device_lost_under_the_policy_holds_only_where_required():
    assert Rig().tick(operator={"connected": False}).source is ControlSource.POLICY
    rig = Rig(operator_required=True)
    assert rig.tick(operator={"connected": False}).reason == "operator_absent"
    assert rig.tick(operator=False).reason == "operator_absent"
    assert rig.tick().reason == "operator_unused"
    assert rig.tick(events=("present",)).source is ControlSource.POLICY
    assert rig.tick().source is ControlSource.POLICY


def test_a_required_device_that_only_publishes_zeros_is_no_operator():
    rig = Rig(operator_required=True)
    for _ in range(200):
        decision = rig.tick()
    assert (decision.state, decision.reason, decision.latched) == (ControlState.HOLD, "operator_unused", False)
    assert decision.detail == "move the operator's device or press a button of it once"


def test_a_required_operator_counts_from_a_motion_until_the_stream_stops():
    rig = Rig(operator_required=True, hand_back_s=0.1)
    assert rig.tick().reason == "operator_unused"
    assert rig.tick(RIGHT).source is ControlSource.HUMAN
    states = [rig.tick().state for _ in range(4)]
    assert states == ["HUMAN", "POLICY", "POLICY", "POLICY"]
    silent = {"receive_ns": rig.now}
    reasons = [rig.tick(operator=silent).reason for _ in range(8)]
    assert reasons == ["policy_in_control"] * 6 + ["operator_absent"] * 2
    assert rig.tick().reason == "operator_unused"


def test_a_device_used_before_enabling_counts():
    rig = Rig(operator_required=True, start_enabled=False)
    rig.tick(RIGHT)
    rig.tick()
    rig.arbiter.enable(True)
    assert rig.tick().source is ControlSource.POLICY


def test_a_button_between_two_ticks_counts():
    rig = Rig(operator_required=True)
    rig.tick()
    rig.deflection, rig.events = None, ("hand_back",)
    rig.arbiter.on_operator_sample(rig.inputs().operator)
    assert rig.tick().source is ControlSource.POLICY


@pytest.mark.parametrize("how", ["service", "button"])
def test_emergency_stop_latches_in_every_state(how):
    for deflection in (None, RIGHT):
        rig = Rig()
        rig.tick(deflection)
        if how == "service":
            rig.arbiter.estop()
        decision = rig.tick(deflection, events=("estop",) if how == "button" else ())
        assert (decision.state, decision.source, decision.reason, decision.latched) == (
            ControlState.ESTOP,
            ControlSource.HOLD,
            "estop",
            True,
        )
        assert rig.tick(RIGHT).state is ControlState.ESTOP
        assert rig.tick(RIGHT, events=("clear",)).reason == "operator_not_at_rest"
        rig.tick()
        assert rig.tick(RIGHT).source is ControlSource.HUMAN


def test_an_emergency_stop_is_known_before_its_tick_and_until_cleared():
    rig = Rig()
    assert not rig.arbiter.estopped
    rig.arbiter.estop()
    assert rig.arbiter.estopped
    rig.tick()
    rig.arbiter.last(rig.now)
    assert rig.arbiter.estopped
    rig.arbiter.clear()
    assert not rig.arbiter.estopped


def test_stop_and_clear_together_stop():
    rig = Rig()
    rig.tick()
    assert rig.tick(events=("estop", "clear")).state is ControlState.ESTOP
    assert rig.tick(events=("clear", "estop")).state is ControlState.ESTOP


@pytest.mark.parametrize(
    ("operator", "duplicate"),
    [
        ({"stamp_ns": START - 30 * SECOND}, ""),  # delayed
        ({"stamp_ns": START + PERIOD}, ""),  # pressed before the stop
        ({"stamp_ns": START + 30 * SECOND}, ""),
        ({}, "operator/command"),
    ],
)
def test_a_clear_button_that_may_be_of_another_fault_ends_no_stop(operator, duplicate):
    rig = Rig()
    rig.tick()
    rig.arbiter.estop()
    assert rig.tick().state is ControlState.ESTOP
    assert rig.tick(events=("clear",), operator=operator, duplicate=duplicate).state is ControlState.ESTOP
    assert rig.tick(events=("clear",)).source is ControlSource.POLICY


@pytest.mark.parametrize("how", ["enable", "clear"])
def test_a_device_held_through_a_stop_does_not_move_the_robot(how):
    rig = Rig()
    rig.tick()
    if how == "enable":
        rig.arbiter.enable(False)
    else:
        rig.arbiter.estop()
    rig.tick(RIGHT)
    rig.arbiter.enable(True)
    rig.arbiter.clear()
    for _ in range(2):
        decision = rig.tick(RIGHT)
        assert (decision.source, decision.reason) == (ControlSource.HOLD, "operator_not_at_rest")
    assert rig.tick().source is ControlSource.POLICY
    assert rig.tick(RIGHT).source is ControlSource.HUMAN


def test_a_device_held_through_a_deactivation_does_not_move_the_robot():
    rig = Rig()
    assert rig.tick(RIGHT).source is ControlSource.HUMAN
    rig.arbiter.last(rig.now)
    assert rig.tick(RIGHT).reason == "operator_not_at_rest"
    rig.tick()
    assert rig.tick(RIGHT).source is ControlSource.HUMAN


def test_a_device_held_before_control_began_does_not_move_the_robot():
    rig = Rig()
    rig.arbiter = Arbiter(ArbiterConfig(start_enabled=True), CONTRACT)  # which has received nothing yet
    assert rig.tick(RIGHT).reason == "operator_not_at_rest"
    rig.tick()
    assert rig.tick(RIGHT).source is ControlSource.HUMAN


def test_a_device_that_is_not_there_is_not_at_rest():
    rig = Rig(start_enabled=False)
    rig.tick(RIGHT)
    rig.arbiter.enable(True)
    rig.arbiter.on_operator_sample(OperatorInput(rig.now, rig.now, False, False, np.zeros(7)))
    assert rig.tick(RIGHT).reason == "operator_not_at_rest"


def test_rest_between_two_ticks_counts():
    rig = Rig(start_enabled=False)
    rig.tick(RIGHT)
    rig.arbiter.enable(True)
    assert not rig.arbiter.on_operator_sample(OperatorInput(rig.now, rig.now, True, False, np.zeros(7)))
    assert rig.tick(RIGHT).source is ControlSource.HUMAN


def test_a_gripper_button_pressed_while_disabled_does_nothing_later():
    rig = Rig(hand_back="button")
    rig.tick(RIGHT)
    assert rig.tick(pose=False, events=("gripper_toggle",)).values[6] == -1.0
    assert rig.tick().reason == "operator_rest"
    assert rig.tick().values[6] == -1.0
    assert rig.tick(events=("gripper_toggle",)).values[6] == 1.0


def test_emergency_stop_works_while_disabled_and_while_latched():
    rig = Rig(start_enabled=False)
    rig.arbiter.estop()
    assert rig.tick().state is ControlState.ESTOP
    rig = Rig()
    rig.tick(RIGHT)
    rig.tick(operator={"connected": False})
    rig.arbiter.estop()
    assert rig.tick().state is ControlState.ESTOP


def test_a_stop_that_somebody_goes_on_asking_for_cannot_be_cleared():
    rig = Rig()
    rig.tick()
    assert rig.tick(estop=True).state is ControlState.ESTOP
    assert rig.arbiter.clear().text == "a publisher on the topic estop requests a stop"
    assert rig.tick(estop=True, events=("clear",)).state is ControlState.ESTOP
    assert rig.tick().state is ControlState.ESTOP
    assert rig.arbiter.clear() == ("estop", "")
    assert rig.tick().source is ControlSource.POLICY


def measured(rig, speed):
    return {"feedback": FeedbackInput(rig.now + PERIOD, rig.now + PERIOD, (speed, 0, 0, 0, 0, 0))}


@pytest.mark.parametrize("deflection", [None, RIGHT], ids=["policy", "operator"])
def test_a_robot_that_does_not_follow_holds_until_cleared(deflection):
    rig = Rig(contract=WITH_FEEDBACK, following_s=0.2, following_share=0.5, following_speed=0.05)
    rig.rows = np.tile(np.array([0.3, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
    rig.tick(deflection, **measured(rig, 0.0))
    reasons = [rig.tick(deflection, **measured(rig, 0.14)).reason for _ in range(6)]
    driving = "policy_in_control" if deflection is None else "operator_motion"
    # commanded 0.3 m/s, so 0.15 m/s would do; more than 0.2 s of less is four ticks after the first
    assert reasons == [driving] * 5 + ["robot_not_following"]
    decision = rig.tick(**measured(rig, 0.3))
    assert decision.latched and decision.state is ControlState.HOLD
    rig.arbiter.clear()
    assert rig.tick(**measured(rig, 0.0)).source is ControlSource.POLICY


@pytest.mark.parametrize(
    ("config", "speed"),
    [({"following_s": 0.0}, 0.0), ({"following_share": 0.5}, 0.151), ({"following_speed": 0.31}, 0.0)],
    ids=["switched off", "fast enough", "slow command"],
)
def test_a_robot_that_need_not_follow_further_drives_on(config, speed):
    rig = Rig(contract=WITH_FEEDBACK, **config)
    rig.rows = np.tile(np.array([0.3, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
    assert {rig.tick(**measured(rig, speed)).reason for _ in range(40)} == {"policy_in_control"}


def test_a_robot_that_the_output_slows_follows_the_slowed_command():
    rig = Rig(contract=WITH_FEEDBACK, following_s=0.2, following_share=0.5, following_speed=0.05)
    rig.rows = np.tile(np.array([0.3, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
    for _ in range(10):  # into a singularity: the output lets no motion through
        assert rig.tick(output_share=0.0, **measured(rig, 0.0)).source is ControlSource.POLICY
    reasons = [rig.tick(output_share=0.5, **measured(rig, 0.07)).reason for _ in range(6)]
    assert reasons == ["policy_in_control"] * 5 + ["robot_not_following"]


def test_a_still_hand_under_a_commanded_rotation_is_not_following():
    rig = Rig(contract=WITH_FEEDBACK, following_s=0.1)
    rig.rows = np.tile(np.array([0, 0, 0, 0, 0, 1.0, -1], np.float32), (4, 1))
    decisions = [rig.tick(**measured(rig, 0.5)) for _ in range(5)]
    assert decisions[-1].reason == "robot_not_following"
    assert decisions[-1].detail == "commanded 1.000 rad/s, measured 0.000"
