"""The small flow policy as a family of `apo_vla.loading`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from apo_vla.checkpoints.family import CheckpointFacts, Family
from apo_vla.checkpoints.types import Checkpoint
from apo_vla.families.small_flow.model import FAMILY, SmallFlow, SmallFlowConfig
from apo_vla.families.small_vla.checkpoint import load_small


class SmallFlowFamily(Family[None]):
    """See `Family`; a checkpoint carries the hash of its contract."""

    name, title = FAMILY, "the small flow policy"

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: None) -> Checkpoint:
        """Reads a checkpoint to the CPU, whatever the device."""
        return load_small(folder, dtype, SmallFlowConfig, SmallFlow)

    def facts(self, folder: Path, checkpoint: Checkpoint, deployment: None) -> CheckpointFacts:
        """The state that it was trained with."""
        return CheckpointFacts(cast(SmallFlowConfig, checkpoint.model.config).state_keys)
