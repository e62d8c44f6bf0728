"""apo_interfaces/ActionChunk of a chunk, or of a fault."""

from __future__ import annotations

from apo_core.contract import Contract
from apo_core.ros.conversions import to_floats, to_stamp
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
    return message


def fault_to_msg(fault: str, answered_stamp_ns: int, contract: Contract, adapter_version: int) -> ActionChunkMessage:
    """The message that says why there is no action for an observation."""
    message = _answer(answered_stamp_ns, answered_stamp_ns, contract, adapter_version)
    message.action_dim, message.fault = contract.action.size, fault
    return message


def _answer(answered_ns: int, observation_ns: int, contract: Contract, adapter_version: int) -> ActionChunkMessage:
    message = ActionChunkMessage(observation_stamp=to_stamp(observation_ns), adapter_version=adapter_version)
    message.header.stamp = to_stamp(answered_ns)
    message.header.frame_id = contract.frame_id
    message.period_s = contract.period_ns / 1e9
    return message
