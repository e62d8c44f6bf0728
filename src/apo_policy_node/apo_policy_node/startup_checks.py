"""Checks and warm-up of a policy before it serves. Pure."""

from __future__ import annotations

import numpy as np

from apo_core import policy_probe
from apo_core.contract.action_range import compare_ranges
from apo_core.contract.contract import Contract
from apo_core.errors import CheckpointError, ConfigError
from apo_core.served_policy import ServedPolicy
from apo_policy_node.config import PolicyConfig
from apo_policy_node.inference.chunk_check import chunk_fault


def check_policy(policy: ServedPolicy, contract: Contract, config: PolicyConfig) -> None:
    """Rejects a policy made for another robot, or one whose answers do not depend on its images.

    Raises:
        CheckpointError: the checkpoint cannot serve here.
        ConfigError: the policy cannot predict or execute as configured.
    """
    if not policy.contract_sha256:
        raise CheckpointError(
            f"checkpoint_dir = {config.checkpoint_dir} is bound to no robot: deployment.yaml has no contract_sha256; "
            f"`apo policy bind {config.checkpoint_dir} --robot {contract.source} --force` writes it anew"
        )
    if policy.contract_sha256 != contract.sha256:
        raise CheckpointError(
            f"checkpoint_dir = {config.checkpoint_dir} was trained for contract {policy.contract_sha256[:12]}..., "
            f"{contract.source} is {contract.sha256[:12]}...: keys, shapes, units and rate must agree"
        )
    faults = _plan_faults(policy, contract, config)
    if faults:
        raise ConfigError("config/policy.yaml", faults)
    faults = policy_probe.faults(policy.predict, contract, config.instruction)
    if not faults:
        faults = _chunk_faults(policy, contract, config)
    if faults:
        raise CheckpointError(f"checkpoint_dir = {config.checkpoint_dir}: {'; '.join(faults)}")


def unit_warnings(policy: ServedPolicy, contract: Contract) -> list[str]:
    """Dimensions of the action whose units seem not to be the contract's."""
    if policy.data_range is None:
        return []
    found = compare_ranges(policy.data_range, contract.action)
    return [*found.beyond, *found.tiny]


def _chunk_faults(policy: ServedPolicy, contract: Contract, config: PolicyConfig) -> list[str]:
    """What would make every answer a fault."""
    probe = policy_probe.probe_observations(contract, config.instruction)[0]
    chunk = policy.predict(probe)
    if chunk.period_ns != contract.period_ns:
        return [
            f"its actions are {chunk.period_ns / 1e9:g} s apart (deployment.yaml: period_s), "
            f"{contract.source} has {contract.period_ns / 1e9:g} s (rate_hz)"
        ]
    fault = chunk_fault(chunk, probe.stamp_ns, contract)
    return [fault] if fault else []


def _plan_faults(policy: ServedPolicy, contract: Contract, config: PolicyConfig) -> list[str]:
    rows, faults = config.action_horizon or policy.chunk, []
    if rows > policy.chunk:
        faults.append(f"action_horizon = {rows} is above the {policy.chunk} rows of a chunk")
    if config.replan_steps > rows:
        faults.append(f"replan_steps = {config.replan_steps} is above the {rows} rows of a chunk")
    oldest_s = (config.replan_steps - 1) * contract.period_ns / 1e9
    if oldest_s > contract.max_age_s:
        faults.append(
            f"replan_steps = {config.replan_steps} acts on observations {oldest_s:.3f} s old, "
            f"max_age_s = {contract.max_age_s} ({contract.source})"
        )
    if config.chunking == "realtime" and not policy.capabilities.committed_rows:
        faults.append("chunking = 'realtime' needs a policy that decodes token by token")
    elif config.chunking == "realtime" and rows < 2:
        faults.append("chunking = 'realtime' needs at least 2 rows of a chunk, there is 1; use 'replace'")
    elif config.chunking == "realtime" and config.committed_rows >= rows:
        faults.append(f"committed_rows = {config.committed_rows} must be below the {rows} rows of a chunk")
    if config.help_entropy > 0 and not policy.capabilities.entropies:
        faults.append(f"help_entropy = {config.help_entropy} needs a policy that decodes token by token")
    if config.help_rule == "calibrated" and config.chunking == "realtime":
        faults.append("help_rule = 'calibrated' needs chunking 'replace' or 'ensemble': a chunk of 'realtime' repeats")
    return faults


def warm_up(policy: ServedPolicy, contract: Contract, config: PolicyConfig) -> None:
    """Predicts in every way that serving will: what is compiled or recorded is so before the first observation."""
    probes = policy_probe.probe_observations(contract, config.instruction)
    most = config.committed_rows if config.chunking == "realtime" else 0
    for turn in range(config.warm_up):
        for count in range(most + 1):
            committed = np.zeros((count, contract.action.size), np.float32) if count else None
            # in turn, since a frame seen before is not encoded again
            policy.predict(probes[turn % 2], committed, config.action_horizon or None)
