"""The arbiter's table: who drives, faults that end by themselves, and what the command is."""

import dataclasses
import math

import numpy as np
import pytest
from arbiter_rig import CONTRACT, PERIOD, RIGHT, ROWS, SECOND, START, STILL, WITH_FEEDBACK, Rig, chunk, with_limits

from apo_core.errors import ConfigError
from apo_core.types import ControlSource
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.types import ControlState, FeedbackInput


def test_policy_drives_with_the_row_of_the_tick():
    rig = Rig()
    rig.chunk_stamp_ns = START + PERIOD
    executed = [rig.tick().values[0] for _ in range(4)]
    np.testing.assert_allclose(executed, [0.1, 0.2, 0.3, 0.4], atol=1e-6)


def test_a_decision_names_its_origin():
    decision = Rig().tick()
    assert decision.source is ControlSource.POLICY
    assert decision.state is ControlState.POLICY
    assert decision.reason == "policy_in_control"
    assert decision.observation_stamp_ns == decision.chunk_stamp_ns == START + PERIOD
    assert decision.adapter_version == 3
    assert decision.human_values is None
    assert not decision.latched and not decision.takeover and decision.clipped == ()
    np.testing.assert_array_equal(decision.policy_values, ROWS[0])


def test_a_decision_has_the_tokens_of_its_row():
    rig = Rig()
    rig.chunk_stamp_ns, rig.tokens = START + PERIOD, np.arange(100, 128)
    decided = [rig.tick().policy_tokens.tolist() for _ in range(4)]
    assert decided == np.arange(100, 128).reshape(4, 7).tolist()
    assert rig.tick().policy_tokens is None  # the chunk is used up


def test_the_shadow_of_the_operator_has_the_policys_tokens():
    rig = Rig()
    rig.tokens = np.arange(100, 128)
    decision = rig.tick(RIGHT)
    assert decision.source is ControlSource.HUMAN
    assert decision.policy_tokens.tolist() == list(range(100, 107))


@pytest.mark.parametrize("tokens", [np.arange(5), np.zeros(28), np.full(28, -1), "tokens"])
def test_malformed_tokens_stop_nobody(tokens):
    rig = Rig()
    rig.tokens = tokens
    decision = rig.tick()
    assert decision.source is ControlSource.POLICY and decision.policy_tokens is None


def test_nobody_drives_before_enable():
    rig = Rig(start_enabled=False)
    decision = rig.tick(RIGHT)
    assert (decision.state, decision.source, decision.reason) == (ControlState.IDLE, ControlSource.HOLD, "disabled")
    np.testing.assert_array_equal(decision.values, [0, 0, 0, 0, 0, 0, -1])
    rig.arbiter.enable(True)
    assert rig.tick().source is ControlSource.POLICY
    rig.arbiter.enable(False)
    assert rig.tick().state is ControlState.IDLE


def test_after_a_pause_the_policy_needs_a_fresh_observation():
    rig = Rig()
    assert rig.tick().source is ControlSource.POLICY
    rig.chunk_stamp_ns = rig.now
    rig.arbiter.enable(False)
    rig.arbiter.enable(True)
    assert rig.tick().reason == "awaiting_fresh_chunk"
    rig.chunk_stamp_ns = None
    assert rig.tick().source is ControlSource.POLICY


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"duplicate": "policy/chunk"}, "multiple_publishers"),
        ({"pose": False}, "observation_missing"),
        ({"pose": {"stamp_ns": START + PERIOD - 501_000_000}}, "observation_stale"),
        ({"pose": {"receive_ns": START + PERIOD - 501_000_000}}, "observation_stale"),
        ({"pose": {"stamp_ns": START + PERIOD + 101_000_000}}, "observation_future"),
        ({"pose": {"position": (0.0, math.nan, 1.0)}}, "observation_invalid"),
        ({"pose": {"position": (1e308, 0.0, 1.0)}}, "observation_invalid"),
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


def test_the_detail_is_short_whatever_a_message_contains():
    assert Rig().tick(policy={"chunk": None, "fault": "x" * 1_000_000}).detail == "x" * 300


def test_policy_faults_do_not_disturb_the_operator():
    rig = Rig()
    assert rig.tick(RIGHT, policy=False).source is ControlSource.HUMAN
    assert rig.tick(RIGHT, late=("policy",)).source is ControlSource.HUMAN
    decision = rig.tick(RIGHT, policy={"chunk": None, "fault": "x"})
    assert (decision.source, decision.policy_values) == (ControlSource.HUMAN, None)


def test_nothing_of_an_unknown_adapter_is_executed_or_shown():
    decision = Rig().tick(adapters=frozenset({2}))
    assert (decision.reason, decision.detail, decision.policy_values) == ("adapter_unknown", "adapter 3", None)


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


def test_an_action_in_other_units_or_another_order_is_rejected():
    units = ("mm/s", "m/s", "m/s", "deg/s", "rad/s", "rad/s", "1")
    contract = dataclasses.replace(CONTRACT, action=dataclasses.replace(CONTRACT.action, units=units))
    with pytest.raises(ConfigError) as caught:
        Arbiter(ArbiterConfig(), contract)
    assert caught.value.source == CONTRACT.source
    assert caught.value.faults == [
        "action.units of vx = 'mm/s' must be 'm/s'",
        "action.units of wx = 'deg/s' must be 'rad/s'",
    ]


def test_braking_harder_than_the_contract_allows_is_rejected():
    contract = with_limits(linear_acceleration=7.0, angular_acceleration=60.0)
    with pytest.raises(ConfigError) as caught:
        Arbiter(ArbiterConfig(), contract)
    assert "linear_deceleration = 8.0 is above limits.linear_acceleration = 7.0 in " in str(caught.value)
    assert "angular_deceleration = 80.0 is above limits.angular_acceleration = 60.0 in " in str(caught.value)


def test_stamps_further_ahead_than_an_observation_may_be_old_are_rejected():
    contract = dataclasses.replace(CONTRACT, max_age_s=0.2)
    with pytest.raises(ConfigError) as caught:
        Arbiter(ArbiterConfig(future_tolerance_s=0.3), contract)
    assert "future_tolerance_s = 0.3 is above max_age_s = 0.2 " in str(caught.value)


def test_a_clock_that_goes_back_holds_and_ends_the_intervention():
    rig = Rig()
    rig.tick(RIGHT)
    decision = rig.tick(advance=-10 * SECOND)
    assert (decision.source, decision.reason, decision.latched) == (ControlSource.HOLD, "clock_jump", False)
    assert rig.tick().source is ControlSource.POLICY


def test_commands_are_clipped_to_the_limits_and_name_them():
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
