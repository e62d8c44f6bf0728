"""Messages to the recorder as values."""

from __future__ import annotations

import math

from apo_core.action_tokens import known_tokens
from apo_core.ros.conversions import from_floats, to_ns
from apo_core.types import ControlSource, ExecutedCommand, TaskProgress
from apo_interfaces.msg import ActionCommand, TaskStatus


def command_from_msg(message: ActionCommand, size: int, receive_ns: int) -> ExecutedCommand:
    """The value of a message; malformed tokens are unknown.

    Args:
        message: of the arbiter.
        size: action dimensions of the contract.
        receive_ns: steady time of its arrival.

    Raises:
        ValueError: no values, or an unknown source.
        ObservationError: an action of another size.
    """
    action = from_floats(message.values, size)
    if action is None:
        raise ValueError("it has no values")
    policy_action = from_floats(message.policy_values, size)
    return ExecutedCommand(
        tick=message.tick,
        stamp_ns=to_ns(message.header.stamp),
        observation_stamp_ns=to_ns(message.observation_stamp),
        chunk_stamp_ns=to_ns(message.chunk_stamp),
        receive_ns=receive_ns,
        action=action,
        policy_action=policy_action,
        human_action=from_floats(message.human_values, size),
        source=ControlSource(message.source),
        reason=message.reason,
        adapter_version=message.adapter_version,
        clipped=message.clipped,
        policy_tokens=None if policy_action is None else known_tokens(message.policy_tokens, (size,)),
    )


def progress_from_msg(message: TaskStatus) -> TaskProgress:
    """The value of a message."""
    is_known = math.isfinite(message.remaining) and message.remaining >= 0
    return TaskProgress(
        stamp_ns=to_ns(message.header.stamp),
        trial=message.trial,
        seed=message.seed,
        running=message.running,
        success=message.success,
        truncated=message.truncated,
        last_observation_stamp_ns=to_ns(message.last_observation_stamp),
        remaining=message.remaining if is_known else None,
        perturbation=message.perturbation,
        stages=_stages(message),
        step=message.step,
    )


def _stages(message: TaskStatus) -> dict[str, bool] | None:
    """The stages of a message; malformed ones are unknown."""
    names, reached = list(message.stages), [bool(value) for value in message.stages_reached]
    if not names or len(names) != len(reached) or len(set(names)) != len(names):
        return None
    return dict(zip(names, reached, strict=True))
