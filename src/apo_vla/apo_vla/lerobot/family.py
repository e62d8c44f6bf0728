"""What the families in LeRobot's layout offer alike to loading, `apo policy inspect` and `apo policy bind`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from apo_core.contract.action_range import DataRange
from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_vla.checkpoints.deployment import DEPLOYMENT
from apo_vla.checkpoints.family import CheckpointFacts, Family
from apo_vla.checkpoints.types import Checkpoint
from apo_vla.inputs.state_parts import size_faults
from apo_vla.lerobot.config_file import camera_faults, camera_notes, read_settings
from apo_vla.lerobot.deployment import LeRobotDeployment
from apo_vla.lerobot.statistics import PREPROCESSOR, LeRobotStatistics, read_lerobot_statistics

D = TypeVar("D", bound=LeRobotDeployment)


class LeRobotFamily(Family[D]):
    """See `Family`."""

    def read_statistics(self, folder: Path, deployment: D) -> LeRobotStatistics:
        """Statistics of actions and state, with the conversion between robot and data."""
        return read_lerobot_statistics(folder, deployment)

    def black_places(self, deployment: D) -> tuple[int, ...]:
        """Places of black images that the model sees among those of the cameras."""
        return ()

    def facts(self, folder: Path, checkpoint: Checkpoint, deployment: D) -> CheckpointFacts:
        """Images of the training that the model does not get."""
        cameras, settings = checkpoint.model.config.cameras, read_settings(folder)
        notes = tuple(camera_notes(cameras, settings, self.black_places(deployment)))
        return CheckpointFacts(deployment.state, notes=notes)

    def binding_faults(self, folder: Path, deployment: D, given: Collection[str]) -> list[str]:
        """Cameras that the model does not take, and a chunk, which config.json holds."""
        faults = camera_faults(deployment.cameras, read_settings(folder))
        if deployment.chunk != 1:
            faults.insert(0, f"chunk = {deployment.chunk} cannot be used with {self.title}: leave it out")
        return faults

    def data_range(self, folder: Path, deployment: D) -> DataRange:
        """Of the normalizer step, or of the statistics in its place."""
        return self.read_statistics(folder, deployment).codec().data_range

    def bind(self, folder: Path, deployment: D, contract: Contract) -> D:
        """Checks state and actions against the statistics."""
        statistics = self.read_statistics(folder, deployment)
        sizes = {spec.name: spec.size for spec in contract.state}
        reader = deployment.statistics or PREPROCESSOR
        faults = size_faults(deployment.state, sizes, len(statistics.state_low), reader)
        if len(statistics.action_low) != contract.action.size:
            faults.append(
                f"{reader} has {len(statistics.action_low)} numbers an action, the contract {contract.action.size}"
            )
        if faults:
            raise ConfigError(str(folder / DEPLOYMENT), faults)
        return deployment
