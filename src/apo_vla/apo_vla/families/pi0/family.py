"""pi0 and pi0.5 as families of `apo_vla.loading`."""

from __future__ import annotations

from pathlib import Path

import torch

from apo_vla.checkpoints.types import Checkpoint
from apo_vla.families.pi0.checkpoint import load_pi0
from apo_vla.families.pi0.model import PaliGemmaFlow, Pi0, Pi05
from apo_vla.lerobot.deployment import FlowDeployment
from apo_vla.lerobot.family import LeRobotFamily


class _PaliGemmaFlowFamily(LeRobotFamily[FlowDeployment]):
    """See `Family`."""

    deployment = FlowDeployment
    kind: type[PaliGemmaFlow]

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: FlowDeployment) -> Checkpoint:
        """Reads a checkpoint in LeRobot's layout."""
        return load_pi0(folder, device, dtype, deployment, self.kind, self.title)


class Pi0Family(_PaliGemmaFlowFamily):
    """See `Family`."""

    name, title, kind = "pi0", "pi0", Pi0


class Pi05Family(_PaliGemmaFlowFamily):
    """See `Family`."""

    name, title, kind = "pi05", "pi0.5", Pi05
