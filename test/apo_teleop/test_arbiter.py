"""The arbiter's table: who drives, every reason, and what the command is."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from apo_core.contract import FeedbackSpec, load_contract
from apo_core.errors import ConfigError
from apo_core.types import ActionChunk, ControlSource
from apo_teleop.arbiter import Arbiter
from apo_teleop.arbiter_config import ArbiterConfig
from apo_teleop.arbiter_types import ArbiterInputs, ControlState, FeedbackInput, OperatorInput, PolicyInput, PoseInput
from apo_teleop.transitions import TRANSITIONS, Condition, Reason, next_transition

CONTRACT = load_contract(Path(__file__).parents[2] / "config" / "contract.yaml")
PERIOD = 50_000_000
SECOND = 1_000_000_000
START = 100 * SECOND
ROWS = np.array([[0.1 * (i + 1), 0, 0, 0, 0, 0, -1] for i in range(4)], np.float32)
RIGHT = np.array([0, -0.3, 0, 0, 0, 0.5, 0], np.float32)
STILL = (0.0,) * 6
WITH_FEEDBACK = dataclasses.replace(CONTRACT, feedback=FeedbackSpec("ee_twist", "geometry_msgs/msg/TwistStamped"))


def with_limits(**limits):
    """The shipped contract with other limits."""
    return dataclasses.replace(CONTRACT, limits=dataclasses.replace(CONTRACT.limits, **limits))


class Rig:
    """An arbiter with fresh inputs at every tick; a test spoils what it is about."""

    def __init__(self, contract=CONTRACT, **config):
        self.arbiter = Arbiter(ArbiterConfig(**{"start_enabled": True, **config}), contract)
        self.now = START
        self.events = ()
        self.deflection = None
        self.rows = ROWS
        self.chunk_stamp = None  # None: the current tick
        self.position = (0.0, 0.0, 1.0)

    def inputs(self) -> ArbiterInputs:
        stamp = self.now if self.chunk_stamp is None else self.chunk_stamp
        chunk = ActionChunk(stamp, PERIOD, self.rows, np.zeros(len(self.rows), np.float32), 3)
        active = self.deflection is not None
        values = self.deflection if active else np.zeros(7, np.float32)
        return ArbiterInputs(
            steady_ns=self.now,
            policy=PolicyInput(chunk, "", self.now),
            operator=OperatorInput(self.now, self.now, True, active, values, self.events),
            pose=PoseInput(self.now, self.now, self.position),
            adapters=frozenset({3}),
        )

    def tick(self, deflection=None, events=(), advance=PERIOD, policy=None, operator=None, pose=None, **spoiled):
        """One step; `policy`, `operator`, `pose` are fields to replace, or False for nothing received."""
        self.now += advance
        self.deflection, self.events = deflection, events
        inputs = self.inputs()
        for name, change in (("policy", policy), ("operator", operator), ("pose", pose)):
            if change is False:
                spoiled[name] = None
            elif change:
                spoiled[name] = dataclasses.replace(getattr(inputs, name), **change)
        return self.arbiter.step(self.now, dataclasses.replace(inputs, **spoiled))


def chunk(stamp, rows=ROWS, period=PERIOD):
    return ActionChunk(stamp, period, rows, np.zeros(len(rows), np.float32), 3)


def test_policy_drives_with_the_row_of_the_tick():
    rig = Rig()
    rig.chunk_stamp = START + PERIOD
    executed = [rig.tick().values[0] for _ in range(4)]
    np.testing.assert_allclose(executed, [0.1, 0.2, 0.3, 0.4], atol=1e-6)


def test_a_decision_says_what_it_came_from():
    decision = Rig().tick()
    assert decision.source is ControlSource.POLICY
    assert decision.state is ControlState.POLICY
    assert decision.reason == "policy_in_control"
    assert decision.observation_stamp == decision.chunk_stamp == START + PERIOD
    assert decision.adapter_version == 3
    assert decision.human_values is None
    assert not decision.latched and not decision.takeover and decision.clipped == ()
    np.testing.assert_array_equal(decision.policy_values, ROWS[0])


def test_nobody_drives_before_enable():
    rig = Rig(start_enabled=False)
    decision = rig.tick(RIGHT)
    assert (decision.state, decision.source, decision.reason) == (ControlState.IDLE, ControlSource.HOLD, "disabled")
    np.testing.assert_array_equal(decision.values, [0, 0, 0, 0, 0, 0, -1])
    rig.arbiter.enable(True)
    assert rig.tick().source is ControlSource.POLICY
    rig.arbiter.enable(False)
    assert rig.tick().state is ControlState.IDLE


def test_after_a_pause_between_two_ticks_the_policy_needs_a_fresh_observation():
    rig = Rig()
    assert rig.tick().source is ControlSource.POLICY
    rig.chunk_stamp = rig.now
    rig.arbiter.enable(False)
    rig.arbiter.enable(True)
    assert rig.tick().reason == "awaiting_fresh_chunk"
    rig.chunk_stamp = None
    assert rig.tick().source is ControlSource.POLICY


def test_first_motion_takes_over_at_once_and_the_policy_stays_in_the_shadow():
    rig = Rig()
    rig.tick()
    decision = rig.tick(RIGHT)
    assert (decision.state, decision.source, decision.reason) == (
        ControlState.HUMAN,
        ControlSource.HUMAN,
        "operator_motion",
    )
    assert decision.takeover and rig.arbiter.takeovers == 1
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


def test_motion_within_the_window_starts_it_again_and_is_no_second_takeover():
    rig = Rig()
    rig.tick(RIGHT)
    for _ in range(8):
        rig.tick()
    rig.tick(RIGHT)
    assert all(rig.tick().source is ControlSource.HUMAN for _ in range(9))
    assert rig.arbiter.takeovers == 1


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
    rig.chunk_stamp = takeover + PERIOD // 2
    decision = rig.tick(events=("hand_back",))
    handed_back = rig.now
    assert (decision.state, decision.source, decision.reason) == (
        ControlState.HOLD,
        ControlSource.HOLD,
        "awaiting_fresh_chunk",
    )
    assert decision.policy_values is not None
    rig.chunk_stamp = handed_back - 1
    assert rig.tick().reason == "awaiting_fresh_chunk"
    rig.chunk_stamp = handed_back
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
        ({"duplicate": "policy/chunk"}, "multiple_publishers"),
        ({"pose": False}, "observation_missing"),
        ({"pose": {"stamp_ns": START + PERIOD - 501_000_000}}, "observation_stale"),
        ({"pose": {"receive_ns": START + PERIOD - 501_000_000}}, "observation_stale"),
        ({"pose": {"stamp_ns": START + PERIOD + 101_000_000}}, "observation_future"),
        ({"pose": {"position": (0.0, math.nan, 1.0)}}, "observation_invalid"),
        ({"late": ("operator",)}, "operator_late"),
        ({"deflection": np.full(7, np.nan, np.float32)}, "operator_invalid"),
        ({"deflection": np.zeros(6, np.float32)}, "operator_invalid"),
        ({"deflection": RIGHT, "operator": {"stamp_ns": START + PERIOD + 101_000_000}}, "operator_future"),
        ({"deflection": RIGHT, "operator": {"stamp_ns": START + PERIOD - 301_000_000}}, "operator_delayed"),
        ({"late": ("policy",)}, "policy_late"),
        ({"adapters": frozenset()}, "adapter_unknown"),
        ({"adapters": frozenset({2, 4}), "late": ("policy",)}, "adapter_unknown"),
        ({"policy": False}, "no_chunk"),
        ({"policy": {"receive_ns": START + PERIOD - 501_000_000}}, "policy_silent"),
        ({"policy": {"chunk": None, "fault": "camera is dark"}}, "policy_fault"),
        ({"policy": {"chunk": chunk(START + PERIOD, ROWS[:, :6])}}, "chunk_malformed"),
        ({"policy": {"chunk": chunk(START + PERIOD, ROWS[:0])}}, "chunk_malformed"),
        ({"policy": {"chunk": chunk(START + PERIOD, ROWS, PERIOD * 2)}}, "chunk_malformed"),
        ({"policy": {"chunk": chunk(START + PERIOD, np.full((4, 7), np.inf, np.float32))}}, "chunk_non_finite"),
        ({"policy": {"chunk": chunk(START + PERIOD + 101_000_000)}}, "chunk_future"),
        ({"policy": {"chunk": chunk(START + PERIOD - 501_000_000, np.tile(ROWS, (4, 1)))}}, "chunk_stale"),
        ({"policy": {"chunk": chunk(START - 3 * PERIOD)}}, "chunk_exhausted"),
    ],
)
def test_faults_hold_and_end_by_themselves(spoiled, reason):
    rig = Rig()
    decision = rig.tick(**spoiled)
    assert (decision.source, decision.state, decision.reason) == (ControlSource.HOLD, ControlState.HOLD, reason)
    assert not decision.latched
    assert rig.tick().source is ControlSource.POLICY


def test_policy_faults_do_not_disturb_the_operator():
    rig = Rig()
    assert rig.tick(RIGHT, policy=False).source is ControlSource.HUMAN
    assert rig.tick(RIGHT, late=("policy",)).source is ControlSource.HUMAN
    decision = rig.tick(RIGHT, policy={"chunk": None, "fault": "x"})
    assert (decision.source, decision.policy_values) == (ControlSource.HUMAN, None)


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
    assert rig.arbiter.clear() == (reason, "")
    assert rig.tick().source is ControlSource.POLICY
    assert rig.arbiter.clear() == ("", "")


def test_a_passing_fault_does_not_hide_a_lost_device():
    rig = Rig()
    rig.tick(RIGHT)
    assert rig.tick(operator={"connected": False}, pose=False, duplicate="policy/chunk").reason == "device_lost"
    assert rig.tick().latched


def test_after_clear_the_chunk_must_be_fresh():
    rig = Rig()
    rig.tick(RIGHT)
    rig.tick(operator={"connected": False})
    rig.chunk_stamp = rig.now - 1
    rig.arbiter.clear()
    assert rig.tick().reason == "awaiting_fresh_chunk"


def test_a_device_lost_while_the_policy_drives_matters_only_where_an_operator_is_required():
    assert Rig().tick(operator={"connected": False}).source is ControlSource.POLICY
    rig = Rig(operator_required=True)
    assert rig.tick(operator={"connected": False}).reason == "operator_absent"
    assert rig.tick(operator=False).reason == "operator_absent"
    assert rig.tick().source is ControlSource.POLICY


def test_a_short_blindness_does_not_hand_back():
    rig = Rig()
    rig.tick(RIGHT)
    assert rig.tick(pose=False).reason == "observation_missing"
    decision = rig.tick()
    assert (decision.source, decision.reason) == (ControlSource.HUMAN, "operator_rest")
    assert rig.arbiter.takeovers == 1


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
def test_a_clear_button_that_may_speak_of_something_else_ends_no_stop(operator, duplicate):
    rig = Rig()
    rig.tick()
    rig.arbiter.estop()
    assert rig.tick().state is ControlState.ESTOP
    assert rig.tick(events=("clear",), operator=operator, duplicate=duplicate).state is ControlState.ESTOP
    assert rig.tick(events=("clear",)).source is ControlSource.POLICY


@pytest.mark.parametrize("how", ["enable", "clear"])
def test_a_device_that_was_never_let_go_does_not_move_the_robot_after_a_stop(how):
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


def test_rest_between_two_ticks_counts():
    rig = Rig(start_enabled=False)
    rig.tick(RIGHT)
    rig.arbiter.enable(True)
    assert not rig.arbiter.hear(OperatorInput(rig.now, rig.now, True, False, np.zeros(7)))
    assert rig.tick(RIGHT).source is ControlSource.HUMAN


def test_a_gripper_button_pressed_while_nobody_may_drive_does_nothing_later():
    rig = Rig(hand_back="button")
    rig.tick(RIGHT)
    assert rig.tick(pose=False, events=("gripper_toggle",)).values[6] == -1.0
    assert rig.tick().reason == "operator_rest"
    assert rig.tick().values[6] == -1.0
    assert rig.tick(events=("gripper_toggle",)).values[6] == 1.0


def test_who_has_driven_and_the_gripper_within_its_range_before():
    action = dataclasses.replace(CONTRACT.action, low=(*CONTRACT.action.low[:6], 0.0))
    rig = Rig(dataclasses.replace(CONTRACT, action=action), start_enabled=False)
    assert rig.tick().values[6] == 0.0
    assert not rig.arbiter.has_driven
    rig.arbiter.enable(True)
    rig.tick()
    assert rig.arbiter.has_driven


def test_emergency_stop_works_while_disabled_and_while_latched():
    rig = Rig(start_enabled=False)
    rig.arbiter.estop()
    assert rig.tick().state is ControlState.ESTOP
    rig = Rig()
    rig.tick(RIGHT)
    rig.tick(operator={"connected": False})
    rig.arbiter.estop()
    assert rig.tick().state is ControlState.ESTOP


def test_nothing_of_an_unknown_adapter_is_executed_or_shown():
    decision = Rig().tick(adapters=frozenset({2}))
    assert (decision.reason, decision.detail, decision.policy_values) == ("adapter_unknown", "adapter 3", None)


def test_a_stop_that_somebody_goes_on_asking_for_cannot_be_cleared():
    rig = Rig()
    rig.tick()
    assert rig.tick(estop=True).state is ControlState.ESTOP
    assert rig.arbiter.clear() == ("", "a publisher of the topic estop says stop")
    assert rig.tick(estop=True, events=("clear",)).state is ControlState.ESTOP
    assert rig.tick().state is ControlState.ESTOP
    assert rig.arbiter.clear() == ("estop", "")
    assert rig.tick().source is ControlSource.POLICY


@pytest.mark.parametrize(
    ("feedback", "reason"),
    [
        (None, "feedback_missing"),
        (FeedbackInput(START + PERIOD - 501_000_000, START + PERIOD, STILL), "feedback_stale"),
        (FeedbackInput(START + PERIOD, START + PERIOD - 501_000_000, STILL), "feedback_stale"),
        (FeedbackInput(START + PERIOD + 101_000_000, START + PERIOD, STILL), "feedback_future"),
        (FeedbackInput(START + PERIOD, START + PERIOD, (0, 0, math.inf, 0, 0, 0)), "feedback_invalid"),
    ],
)
def test_faults_of_the_feedback_hold_and_end_by_themselves(feedback, reason):
    rig = Rig(contract=WITH_FEEDBACK)
    decision = rig.tick(feedback=feedback)
    assert (decision.source, decision.reason, decision.latched) == (ControlSource.HOLD, reason, False)
    assert rig.tick(feedback=FeedbackInput(rig.now + PERIOD, rig.now + PERIOD, STILL)).source is ControlSource.POLICY


def test_feedback_that_the_contract_does_not_name_is_not_looked_at():
    assert Rig().tick(feedback=FeedbackInput(0, 0, (math.nan,) * 6)).source is ControlSource.POLICY


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


def test_a_robot_that_keeps_its_hand_still_while_told_to_rotate_does_not_follow():
    rig = Rig(contract=WITH_FEEDBACK, following_s=0.1)
    rig.rows = np.tile(np.array([0, 0, 0, 0, 0, 1.0, -1], np.float32), (4, 1))
    decisions = [rig.tick(**measured(rig, 0.5)) for _ in range(5)]
    assert decisions[-1].reason == "robot_not_following"
    assert decisions[-1].detail == "commanded 1.000 rad/s, measured 0.000"


def test_braking_harder_than_the_contract_allows_is_refused():
    contract = with_limits(linear_acceleration=7.0, angular_acceleration=60.0)
    with pytest.raises(ConfigError) as caught:
        Arbiter(ArbiterConfig(), contract)
    assert "linear_deceleration = 8.0 is above limits.linear_acceleration = 7.0 in " in str(caught.value)
    assert "angular_deceleration = 80.0 is above limits.angular_acceleration = 60.0 in " in str(caught.value)


def test_a_takeover_blends_and_says_which_limit_asks_for_it():
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


def test_a_clock_that_goes_back_holds_and_ends_the_intervention():
    rig = Rig()
    rig.tick(RIGHT)
    decision = rig.tick(advance=-10 * SECOND)
    assert (decision.source, decision.reason, decision.latched) == (ControlSource.HOLD, "clock_jump", False)
    assert rig.tick().source is ControlSource.POLICY


def test_commands_are_brought_within_the_limits_and_say_so():
    rig = Rig()
    rig.rows = np.array([[3, 0, 0, 0, 0, -20, 5]], np.float32)
    decision = rig.tick()
    np.testing.assert_allclose(decision.values, [1, 0, 0, 0, 0, -10, 1])
    assert decision.clipped == ("action.high.vx", "action.low.wz", "action.high.gripper")
    np.testing.assert_array_equal(decision.policy_values, rig.rows[0])
    rig.rows = np.array([[0.8, 0.8, 0, 9, 9, 0, 0]], np.float32)
    decision = rig.tick()
    np.testing.assert_allclose(np.linalg.norm(decision.values[:3]), 1.0, rtol=1e-6)
    assert decision.clipped == ("limits.linear_speed", "limits.angular_speed")


def test_nothing_leads_out_of_the_workspace():
    rig = Rig()
    rig.position = (0.4, -0.6, 0.81)
    decision = rig.tick(np.array([0.5, -0.5, -0.5, 0, 0, 0, 0], np.float32))
    np.testing.assert_allclose(decision.values[:3], [0, 0, -0.2], atol=1e-6)
    assert decision.clipped == (
        "limits.workspace_high.x",
        "limits.workspace_low.y",
        "limits.workspace_low.z",
    )
    assert rig.tick(np.array([-0.5, 0.5, 0.5, 0, 0, 0, 0], np.float32)).clipped == ()


def test_a_chunk_slightly_ahead_of_the_clock_starts_at_its_first_row():
    rig = Rig()
    decision = rig.tick(policy={"chunk": chunk(START + PERIOD + 90_000_000)})
    np.testing.assert_allclose(decision.values[0], 0.1, atol=1e-6)


def test_the_last_command_stands_still():
    rig = Rig()
    rig.tick(RIGHT)
    decision = rig.arbiter.last(rig.now)
    assert (decision.source, decision.reason) == (ControlSource.HOLD, "deactivated")
    np.testing.assert_array_equal(decision.values, [0, 0, 0, 0, 0, 0, -1])


def test_what_cannot_wait_for_the_next_tick():
    rig = Rig()
    rig.tick()
    rest = OperatorInput(rig.now, rig.now, True, False, np.zeros(7, np.float32))
    moving = dataclasses.replace(rest, active=True, values=RIGHT)
    assert not rig.arbiter.hear(rest)
    assert rig.arbiter.hear(moving)
    assert rig.arbiter.hear(dataclasses.replace(rest, events=("gripper_toggle",)))
    assert rig.arbiter.hear(dataclasses.replace(rest, events=("estop",)))
    assert not rig.arbiter.hear(dataclasses.replace(moving, connected=False))
    rig.tick(RIGHT)
    assert not rig.arbiter.hear(moving)
    assert rig.arbiter.hear(dataclasses.replace(rest, connected=False))


def test_refused_motion_is_urgent_only_once():
    rig = Rig()
    rig.tick()
    broken = OperatorInput(rig.now, rig.now, True, True, np.full(7, np.nan, np.float32))
    assert rig.arbiter.hear(broken)
    rig.tick(np.full(7, np.nan, np.float32))
    assert not rig.arbiter.hear(broken)


def test_every_condition_has_one_row_and_rows_come_by_priority():
    assert [row.condition for row in TRANSITIONS] == list(dict.fromkeys(row.condition for row in TRANSITIONS)), (
        "a second row of a condition is never reached"
    )
    assert {row.condition for row in TRANSITIONS} == set(Condition)
    for index, row in enumerate(TRANSITIONS):
        assert next_transition({later.condition for later in TRANSITIONS[index:]}) is row
    reasons = {row.reason for row in TRANSITIONS} - {None}
    assert reasons == set(Reason) - {Reason.DEACTIVATED}
