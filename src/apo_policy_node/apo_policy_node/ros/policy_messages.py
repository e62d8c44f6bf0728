"""Messages of the policy node: the uncertainty of its actions, the adapter that serves."""

from __future__ import annotations

from builtin_interfaces.msg import Time

from apo_core.contract.contract import Contract
from apo_core.ros.conversions import to_stamp
from apo_interfaces.msg import ActionDoubt, AdapterStatus
from apo_policy_node.adapters.reloader import ReloadResult
from apo_policy_node.inference.uncertainty import Uncertainty


def uncertainty_to_msg(uncertainty: Uncertainty, contract: Contract, help_entropy: float) -> ActionDoubt:
    """The message of a new chunk's uncertainty."""
    message = ActionDoubt(
        adapter_version=uncertainty.adapter_version,
        log_prob=uncertainty.log_prob,
        entropy=uncertainty.entropy,
        help_entropy=help_entropy,
        help_wanted=uncertainty.help_wanted,
    )
    message.header.stamp, message.header.frame_id = to_stamp(uncertainty.observation_stamp_ns), contract.frame_id
    return message


def reloaded_to_msg(result: ReloadResult, stamp: Time) -> AdapterStatus:
    """The message of the result of a request for an adapter."""
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
