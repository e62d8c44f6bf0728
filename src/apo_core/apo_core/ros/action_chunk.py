"""apo_interfaces/ActionChunk of a chunk, or of a fault."""

from __future__ import annotations

import math

import numpy as np

from apo_core.action_tokens import known_tokens
from apo_core.contract.contract import Contract
from apo_core.ros.conversions import to_floats, to_ints, to_ns, to_stamp
from apo_core.types import ActionChunk
from apo_interfaces.msg import ActionChunk as ActionChunkMessage


def chunk_to_msg(
    chunk: ActionChunk, answered_stamp_ns: int, contract: Contract, inference_s: float
) -> ActionChunkMessage:
    """The message that answers the observation of `answered_stamp_ns`; inference_s is 0 for a chunk in force."""
    message = _answer(answered_stamp_ns, chunk.observation_stamp_ns, contract, chunk.adapter_version)
    message.inference_s = inference_s
    message.horizon, message.action_dim = chunk.values.shape
    message.values, message.log_probs = to_floats(chunk.values), to_floats(chunk.log_probs)
    message.tokens = to_ints(known_tokens(chunk.tokens, chunk.values.shape))
    return message


def fault_to_msg(fault: str, answered_stamp_ns: int, contract: Contract, adapter_version: int) -> ActionChunkMessage:
    """The message that reports why there is no action for an observation."""
    message = _answer(answered_stamp_ns, answered_stamp_ns, contract, adapter_version)
    message.action_dim, message.fault = contract.action.size, fault
    return message


def chunk_from_msg(message: ActionChunkMessage) -> ActionChunk | None:
    """The chunk as it was sent, None for a fault; whether its shape fits the contract is not checked.

    Values that do not fill the rows come as one row, so that their number shows; a period that is not
    finite comes as 0, which fits no contract. Tokens are unknown unless there is one for each value.
    """
    if message.fault:
        return None
    values = np.array(message.values, np.float32)
    period_ns = message.period_s * 1e9
    rows = message.horizon if message.horizon and values.size % message.horizon == 0 else 1
    return ActionChunk(
        observation_stamp_ns=to_ns(message.observation_stamp),
        period_ns=round(period_ns) if math.isfinite(period_ns) else 0,
        values=values.reshape(rows, -1),
        log_probs=np.array(message.log_probs, np.float32),
        adapter_version=message.adapter_version,
        tokens=known_tokens(message.tokens, (values.size,)),
    )


def _answer(answered_ns: int, observation_ns: int, contract: Contract, adapter_version: int) -> ActionChunkMessage:
    message = ActionChunkMessage(observation_stamp=to_stamp(observation_ns), adapter_version=adapter_version)
    message.header.stamp = to_stamp(answered_ns)
    message.header.frame_id = contract.frame_id
    message.period_s = contract.period_ns / 1e9
    return message
