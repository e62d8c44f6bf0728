"""The small policies as families of `apo_vla.loading`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from apo_vla.checkpoints.family import CheckpointFacts, Family
from apo_vla.checkpoints.types import Checkpoint
from apo_vla.families.small_vla.checkpoint import load_small
from apo_vla.families.small_vla.flow import FAMILY as FLOW_FAMILY
from apo_vla.families.small_vla.flow import SmallFlow, SmallFlowConfig
from apo_vla.families.small_vla.model import FAMILY
from apo_vla.families.small_vla.shape import SmallShape


class SmallVlaFamily(Family[None]):
    """See `Family`; a checkpoint carries the hash of its contract."""

    name, title = FAMILY, "the small VLA"

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: None) -> Checkpoint:
        """Reads a checkpoint to the CPU, whatever the device."""
        return load_small(folder, dtype)

    def facts(self, folder: Path, checkpoint: Checkpoint, deployment: None) -> CheckpointFacts:
        """The state that it was trained with."""
        return CheckpointFacts(cast(SmallShape, checkpoint.model.config).state_keys)


class SmallFlowFamily(SmallVlaFamily):
    """See `SmallVlaFamily`."""

    name, title = FLOW_FAMILY, "the small flow policy"

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: None) -> Checkpoint:
        """Reads a checkpoint to the CPU, whatever the device."""
        return load_small(folder, dtype, SmallFlowConfig, SmallFlow)
