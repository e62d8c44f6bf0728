"""What a policy must show before it may serve. Pure."""

from __future__ import annotations

from typing import Protocol

from apo_core import self_test
from apo_core.contract import Contract
from apo_core.errors import CheckpointError, ConfigError
from apo_core.types import ActionChunk, Observation
from apo_policy_node.config import PolicyConfig


class LoadedPolicy(Protocol):
    """A policy fresh from its checkpoint."""

    contract_sha256: str
    chunk: int  # rows

    def predict(self, observation: Observation) -> ActionChunk:
        """A chunk computed from this observation."""


def check_policy(policy: LoadedPolicy, contract: Contract, config: PolicyConfig) -> None:
    """Refuses a policy made for another robot, or one that does not look at its images.

    Raises:
        CheckpointError: the checkpoint cannot serve here.
        ConfigError: replan_steps is above the rows of a chunk.
    """
    if policy.contract_sha256 != contract.sha256:
        raise CheckpointError(
            f"checkpoint_dir = {config.checkpoint_dir} was trained for contract {policy.contract_sha256[:12]}..., "
            f"{contract.source} is {contract.sha256[:12]}...: keys, shapes, units and rate must agree"
        )
    if config.replan_steps > policy.chunk:
        fault = f"replan_steps = {config.replan_steps} is above the {policy.chunk} rows of a chunk"
        raise ConfigError("config/policy.yaml", [fault])
    faults = self_test.faults(policy, contract, config.instruction)
    if faults:
        raise CheckpointError(f"checkpoint_dir = {config.checkpoint_dir}: {'; '.join(faults)}")


def warm_up(policy: LoadedPolicy, contract: Contract, config: PolicyConfig) -> None:
    """Predicts a few times, so that the first observation is answered as fast as the others."""
    for _ in range(config.warm_up):
        policy.predict(self_test.probe_observations(contract, config.instruction)[0])
