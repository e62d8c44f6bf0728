"""Whether a step may stand in an episode: what the arbiter never sends comes from another node. Pure."""

from __future__ import annotations

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.types import Step

ROUNDING = 1e-3  # share of a dimension's range forgiven, as `apo episodes validate` does


def step_fault(step: Step, contract: Contract, newest_ns: int) -> str:
    """Why a step is rejected; empty: it is not.

    Args:
        step: about to be written.
        contract: range of the action.
        newest_ns: observation stamp of the step before.
    """
    spec = contract.action
    low, high = np.array(spec.low), np.array(spec.high)
    slack = ROUNDING * (high - low)
    executed = np.asarray(step.executed_action, np.float64)
    for dimension in np.flatnonzero(~((executed >= low - slack) & (executed <= high + slack))):
        allowed = f"{spec.low[dimension]} .. {spec.high[dimension]} {spec.units[dimension]}"
        return f"the executed {spec.names[dimension]!r} is outside of {allowed}, which the arbiter keeps to"
    for name, values in (("policy", step.policy_action), ("operator", step.human_action)):
        if values is not None and not np.all(np.isfinite(values)):
            return f"the action of the {name} is not finite"
    if step.observation.stamp_ns < newest_ns:
        return "its observation is older than that of the step before"
    return ""
