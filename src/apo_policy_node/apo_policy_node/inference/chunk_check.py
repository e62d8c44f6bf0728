"""Whether what a policy returned is a chunk of the contract. Pure."""

from __future__ import annotations

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.types import ActionChunk


def chunk_fault(chunk: ActionChunk, stamp_ns: int, contract: Contract) -> str:
    """What is wrong with a chunk for the observation at `stamp_ns`, empty if nothing is."""
    size = contract.action.size
    if not isinstance(chunk, ActionChunk):
        return f"the policy returned {type(chunk).__name__}, not an ActionChunk"
    values, log_probs = np.asarray(chunk.values), np.asarray(chunk.log_probs)
    if values.ndim != 2 or not len(values) or values.shape[1] != size:
        return f"the policy's actions have shape {values.shape}, the contract has (rows, {size})"
    if log_probs.shape != (len(values),):
        return f"the policy's log_probs have shape {log_probs.shape}, its actions have {len(values)} rows"
    if chunk.observation_stamp_ns != stamp_ns or chunk.period_ns != contract.period_ns:
        return (
            f"the policy's chunk is for stamp {chunk.observation_stamp_ns} ns and period {chunk.period_ns} ns, "
            f"expected {stamp_ns} and {contract.period_ns}"
        )
    if not np.isfinite(values).all():
        return "the policy's actions are not finite"
    if not np.isfinite(log_probs).all():
        return "the policy's log_probs are not finite"
    entropies = chunk.entropies
    if entropies is not None and (np.shape(entropies) != (len(values),) or not np.isfinite(entropies).all()):
        return f"the policy's entropies must be {len(values)} finite numbers"
    return ""
