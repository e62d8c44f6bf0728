"""Messages of one tick of the arbiter: the executed command, the policy's shadow action, the status."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apo_core.ros.conversions import to_floats, to_ints, to_stamp
from apo_core.ros.diagnostics import ERROR, OK, WARN
from apo_core.types import ControlSource
from apo_interfaces.msg import ActionCommand, ControlStatus
from apo_teleop.arbiter.control_record import ControlRecord
from apo_teleop.arbiter.types import ControlState, Decision

_SHADOW_REASON = "the policy's action while it does not drive"


def command_to_msg(decision: Decision, tick: int, now_ns: int, frame_id: str) -> ActionCommand:
    """The executed command of a tick."""
    message = ActionCommand(
        tick=tick,
        values=to_floats(decision.values),
        source=decision.source.value,
        reason=str(decision.reason),
        observation_stamp=to_stamp(decision.observation_stamp_ns),
        chunk_stamp=to_stamp(decision.chunk_stamp_ns),
        policy_values=to_floats(decision.policy_values),
        policy_tokens=to_ints(decision.policy_tokens),
        human_values=to_floats(decision.human_values),
        operator_stamp=to_stamp(decision.operator_stamp_ns),
        adapter_version=decision.adapter_version,
        clipped=",".join(decision.clipped),
    )
    message.header.stamp, message.header.frame_id = to_stamp(now_ns), frame_id
    return message


def shadow_of(command: ActionCommand) -> ActionCommand | None:
    """What the policy would have done in the tick of a command; None when it drove or had no action."""
    if command.source == ControlSource.POLICY.value or not command.policy_values:
        return None
    return ActionCommand(
        header=command.header,
        tick=command.tick,
        values=command.policy_values,
        source=ControlSource.POLICY.value,
        reason=_SHADOW_REASON,
        observation_stamp=command.observation_stamp,
        chunk_stamp=command.chunk_stamp,
        policy_values=command.policy_values,
        policy_tokens=command.policy_tokens,
        operator_stamp=command.operator_stamp,
        adapter_version=command.adapter_version,
    )


def status_to_msg(
    decision: Decision, record: ControlRecord, ticks_missed: int, response_ns: int | None, now_ns: int
) -> ControlStatus:
    """The state behind a command; response_ns is the time since its observation arrived, None without one."""
    status = ControlStatus(
        state=str(decision.state),
        reason=str(decision.reason),
        latched=decision.latched,
        tick=record.ticks,
        ticks_missed=ticks_missed,
        takeovers=record.takeovers,
        takeover_latency_p50_ms=record.latency_ms(50),
        takeover_latency_p99_ms=record.latency_ms(99),
        response_ms=math.nan if response_ns is None else response_ns * 1e-6,
        adapter_version=decision.adapter_version,
    )
    status.header.stamp = to_stamp(now_ns)
    return status


def health_of(decision: Decision | None, faults: Sequence[str] = ()) -> tuple[bytes, str]:
    """Level and message of the arbiter's diagnostics.

    Args:
        decision: of the newest tick; None: there was none yet.
        faults: of the streams that measure the robot.
    """
    if decision is None:
        return WARN, "; ".join(["waiting for its first tick", *faults])
    is_odd = bool(faults) or decision.state is ControlState.HOLD
    level = ERROR if decision.latched else WARN if is_odd else OK
    return level, "; ".join([f"{decision.state}: {decision.reason}", *faults])
