"""SmolVLA as a family of `apo_vla.loading`."""

from __future__ import annotations

from pathlib import Path

import torch

from apo_vla.checkpoints.types import Checkpoint
from apo_vla.families.smolvla.checkpoint import load_smolvla
from apo_vla.lerobot.deployment import FlowDeployment
from apo_vla.lerobot.family import LeRobotFamily


class SmolVlaFamily(LeRobotFamily[FlowDeployment]):
    """See `Family`."""

    name, title, deployment = "smolvla", "SmolVLA", FlowDeployment

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: FlowDeployment) -> Checkpoint:
        """Reads a checkpoint in LeRobot's layout."""
        return load_smolvla(folder, device, dtype, deployment)
