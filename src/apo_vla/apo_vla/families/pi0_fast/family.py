"""pi0-FAST as a family of `apo_vla.loading`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import torch

from apo_core.contract.action_range import DataRange
from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_vla.checkpoints.deployment import DEPLOYMENT
from apo_vla.checkpoints.family import CheckpointFacts, Family
from apo_vla.checkpoints.types import CONFIG, Checkpoint
from apo_vla.families.pi0_fast.checkpoint import camera_faults, camera_notes, load_pi0_fast
from apo_vla.families.pi0_fast.deployment import Pi0FastDeployment
from apo_vla.lerobot.statistics import PREPROCESSOR, read_lerobot_statistics
from apo_vla.inputs.state_parts import size_faults


class Pi0FastFamily(Family[Pi0FastDeployment]):
    """See `Family`."""

    name, title, deployment = "pi0_fast", "pi0-FAST", Pi0FastDeployment

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: Pi0FastDeployment) -> Checkpoint:
        """Reads a checkpoint in LeRobot's layout."""
        return load_pi0_fast(folder, device, dtype, deployment)

    def facts(self, folder: Path, checkpoint: Checkpoint, deployment: Pi0FastDeployment) -> CheckpointFacts:
        """Images of the training that the model does not get."""
        config = checkpoint.model.config
        notes = tuple(camera_notes(config.cameras, _settings(folder), deployment.black_places))
        return CheckpointFacts(deployment.state, notes=notes)

    def binding_faults(self, folder: Path, deployment: Pi0FastDeployment, given: Collection[str]) -> list[str]:
        """Cameras that the model does not take, and a chunk, which config.json holds."""
        faults = camera_faults(deployment, _settings(folder))
        if deployment.chunk != 1:
            faults.insert(0, f"chunk = {deployment.chunk} cannot be used with {self.title}: leave it out")
        return faults

    def data_range(self, folder: Path, deployment: Pi0FastDeployment) -> DataRange:
        """Of the normalizer step."""
        return read_lerobot_statistics(folder, deployment).codec().data_range

    def bind(self, folder: Path, deployment: Pi0FastDeployment, contract: Contract) -> Pi0FastDeployment:
        """Checks the state against the statistics."""
        statistics = read_lerobot_statistics(folder, deployment)
        sizes = {spec.name: spec.size for spec in contract.state}
        if faults := size_faults(deployment.state, sizes, len(statistics.state_low), PREPROCESSOR):
            raise ConfigError(str(folder / DEPLOYMENT), faults)
        return deployment


def _settings(folder: Path) -> Mapping:
    return json.loads((folder / CONFIG).read_text())
