import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.conversions import to_ns
from apo_core.ros.diagnostics import ERROR, OK, WARN
from apo_core.types import ControlSource
from apo_teleop.arbiter.control_record import ControlRecord
from apo_teleop.arbiter.types import ArbiterInputs, ControlState, Decision, Reason
from apo_teleop.ros.arbiter_messages import command_to_msg, health_of, shadow_of, status_to_msg

POLICY_ROW = np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32)
TOKENS = np.arange(200, 207, dtype=np.int32)
HUMAN_ROW = np.array([0, 0.2, 0, 0, 0, 0, 1], np.float32)


def decided(source=ControlSource.HUMAN, policy_values=POLICY_ROW, takeover=False):
    return Decision(
        values=HUMAN_ROW,
        source=source,
        state=ControlState.HUMAN,
        reason=Reason.OPERATOR_MOTION,
        detail="",
        latched=False,
        takeover=takeover,
        observation_stamp_ns=7_000_000_001,
        chunk_stamp_ns=6_000_000_002,
        policy_values=policy_values,
        human_values=HUMAN_ROW,
        adapter_version=4,
        clipped=("limits.linear_speed", "limits.step.vx"),
        policy_tokens=None if policy_values is None else TOKENS,
        operator_stamp_ns=7_500_000_004,
    )


def test_a_command_names_its_cause():
    message = command_to_msg(decided(), 12, 8_000_000_003, "base")
    assert (message.tick, message.source, message.reason) == (12, "HUMAN", "operator_motion")
    assert (to_ns(message.header.stamp), message.header.frame_id) == (8_000_000_003, "base")
    assert (to_ns(message.observation_stamp), to_ns(message.chunk_stamp)) == (7_000_000_001, 6_000_000_002)
    assert to_ns(message.operator_stamp) == 7_500_000_004
    assert (message.adapter_version, message.clipped) == (4, "limits.linear_speed,limits.step.vx")
    for field, values in (("values", HUMAN_ROW), ("human_values", HUMAN_ROW), ("policy_values", POLICY_ROW)):
        np.testing.assert_array_equal(getattr(message, field), values)
    assert list(message.policy_tokens) == TOKENS.tolist()


def test_the_shadow_has_the_policys_action_and_the_same_stamps():
    command = command_to_msg(decided(), 12, 8_000_000_003, "base")
    shadow = shadow_of(command)
    np.testing.assert_array_equal(shadow.values, POLICY_ROW)
    assert list(shadow.policy_tokens) == TOKENS.tolist()
    assert (shadow.source, shadow.tick, shadow.adapter_version, shadow.clipped) == ("POLICY", 12, 4, "")
    assert (shadow.header, shadow.observation_stamp, shadow.chunk_stamp, shadow.operator_stamp) == (
        command.header,
        command.observation_stamp,
        command.chunk_stamp,
        command.operator_stamp,
    )
    assert not shadow.human_values
    np.testing.assert_array_equal(command.values, HUMAN_ROW)


@pytest.mark.parametrize("case", [decided(source=ControlSource.POLICY), decided(policy_values=None)])
def test_no_shadow_of_a_policy_in_control_or_without_action(case):
    assert shadow_of(command_to_msg(case, 1, 0, "base")) is None


def test_a_status_has_the_counts():
    record = ControlRecord()
    for tick in range(12):
        record.add(decided(takeover=tick in (3, 7)), ArbiterInputs(0))
    for milliseconds in (1, 2, 3):
        record.latency.add(milliseconds * 1_000_000)
    status = status_to_msg(decided(), record, 3, 2_500_000, 8_000_000_003)
    assert (status.state, status.reason, status.latched) == ("HUMAN", "operator_motion", False)
    assert (status.tick, status.ticks_missed, status.takeovers, status.response_ms) == (12, 3, 2, 2.5)
    assert status.takeover_latency_p50_ms == pytest.approx(2.0)
    assert status.takeover_latency_p99_ms == pytest.approx(2.98)
    assert to_ns(status.header.stamp) == 8_000_000_003
    assert math.isnan(status_to_msg(decided(), record, 3, None, 0).response_ms)


@pytest.mark.parametrize(
    ("changes", "level"),
    [({}, OK), ({"state": ControlState.HOLD}, WARN), ({"state": ControlState.HOLD, "latched": True}, ERROR)],
)
def test_health_follows_the_decision(changes, level):
    decision = dataclasses.replace(decided(), **changes)
    assert health_of(decision) == (level, f"{decision.state}: operator_motion")


def test_health_before_the_first_tick_is_a_warning():
    assert health_of(None) == (WARN, "waiting for its first tick")
