"""What the policy node says of itself: how sure it is, which adapter serves."""

from __future__ import annotations

from typing import Protocol

from builtin_interfaces.msg import Time

from apo_core.contract.contract import Contract
from apo_core.ros.conversions import to_stamp
from apo_interfaces.msg import ActionDoubt, AdapterStatus


class Doubt(Protocol):
    """See apo_policy_node.inference.uncertainty.Doubt."""

    observation_stamp_ns: int
    log_prob: float
    entropy: float
    help_wanted: bool
    adapter_version: int


class Reloaded(Protocol):
    """See apo_policy_node.adapters.reloader.ReloadResult."""

    state: str
    version: int
    requested_version: int
    reason: str
    stage_ms: float
    swap_ms: float


def doubt_to_msg(doubt: Doubt, contract: Contract, help_entropy: float) -> ActionDoubt:
    """The message of a new chunk's doubt."""
    message = ActionDoubt(
        adapter_version=doubt.adapter_version,
        log_prob=doubt.log_prob,
        entropy=doubt.entropy,
        help_entropy=help_entropy,
        help_wanted=doubt.help_wanted,
    )
    message.header.stamp, message.header.frame_id = to_stamp(doubt.observation_stamp_ns), contract.frame_id
    return message


def reloaded_to_msg(result: Reloaded, stamp: Time) -> AdapterStatus:
    """The message that tells how a request for an adapter ended."""
    message = AdapterStatus(
        state=str(result.state),
        version=result.version,
        requested_version=result.requested_version,
        reason=result.reason,
        stage_ms=result.stage_ms,
        swap_ms=result.swap_ms,
    )
    message.header.stamp = stamp
    return message
