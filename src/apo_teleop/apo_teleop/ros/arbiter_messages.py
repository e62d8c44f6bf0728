"""What the arbiter says of each tick: the executed command, the policy's action in its shadow, the status."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from apo_core.ros.conversions import to_floats, to_ints, to_stamp
from apo_core.types import ControlSource
from apo_interfaces.msg import ActionCommand, ControlStatus

_SHADOW_REASON = "the policy's action while it does not drive"


class Decided(Protocol):
    """The decision of a tick; see apo_teleop.arbiter.types.Decision."""

    values: np.ndarray
    source: ControlSource
    state: str
    reason: str
    latched: bool
    observation_stamp: int
    chunk_stamp: int
    policy_values: np.ndarray | None
    human_values: np.ndarray | None
    adapter_version: int
    clipped: tuple[str, ...]
    policy_tokens: np.ndarray | None


class Counted(Protocol):
    """Counts since the arbiter became active; see apo_teleop.arbiter.control_record.ControlRecord."""

    ticks: int
    takeovers: int

    def latency_ms(self, percent: float) -> float: ...


def command_to_msg(decided: Decided, tick: int, now_ns: int, frame_id: str) -> ActionCommand:
    """The executed command of a tick."""
    message = ActionCommand(
        tick=tick,
        values=to_floats(decided.values),
        source=decided.source.value,
        reason=str(decided.reason),
        observation_stamp=to_stamp(decided.observation_stamp),
        chunk_stamp=to_stamp(decided.chunk_stamp),
        policy_values=to_floats(decided.policy_values),
        policy_tokens=to_ints(decided.policy_tokens),
        human_values=to_floats(decided.human_values),
        adapter_version=decided.adapter_version,
        clipped=",".join(decided.clipped),
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
        adapter_version=command.adapter_version,
    )


def status_to_msg(
    decided: Decided, counted: Counted, ticks_missed: int, response_ns: int | None, now_ns: int
) -> ControlStatus:
    """The state behind a command; response_ns is the time since its observation arrived, None without one."""
    status = ControlStatus(
        state=str(decided.state),
        reason=str(decided.reason),
        latched=decided.latched,
        tick=counted.ticks,
        ticks_missed=ticks_missed,
        takeovers=counted.takeovers,
        takeover_latency_p50_ms=counted.latency_ms(50),
        takeover_latency_p99_ms=counted.latency_ms(99),
        response_ms=math.nan if response_ns is None else response_ns * 1e-6,
        adapter_version=decided.adapter_version,
    )
    status.header.stamp = to_stamp(now_ns)
    return status
