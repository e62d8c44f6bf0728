"""pi0-FAST as a family of `apo_vla.loading`."""

from __future__ import annotations

from pathlib import Path

import torch

from apo_vla.checkpoints.types import Checkpoint
from apo_vla.families.pi0_fast.checkpoint import load_pi0_fast
from apo_vla.families.pi0_fast.deployment import Pi0FastDeployment
from apo_vla.lerobot.family import LeRobotFamily
from apo_vla.lerobot.statistics import LeRobotStatistics, read_lerobot_statistics


class Pi0FastFamily(LeRobotFamily[Pi0FastDeployment]):
    """See `Family`."""

    name, title, deployment = "pi0_fast", "pi0-FAST", Pi0FastDeployment

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: Pi0FastDeployment) -> Checkpoint:
        """Reads a checkpoint in LeRobot's layout."""
        return load_pi0_fast(folder, device, dtype, deployment)

    def read_statistics(self, folder: Path, deployment: Pi0FastDeployment) -> LeRobotStatistics:
        """See `LeRobotFamily`; openpi's ranges are a little wider."""
        return read_lerobot_statistics(folder, deployment, deployment.widening)

    def black_places(self, deployment: Pi0FastDeployment) -> tuple[int, ...]:
        """See `LeRobotFamily`; openpi has black images."""
        return deployment.black_places
