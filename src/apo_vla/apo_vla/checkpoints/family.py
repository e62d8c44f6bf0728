"""What a family of models offers to loading, `apo policy inspect` and `apo policy bind`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from apo_core.contract.action_range import DataRange
from apo_core.contract.contract import Contract
from apo_core.errors import CheckpointError
from apo_vla.checkpoints.deployment import DEPLOYMENT, Deployment
from apo_vla.checkpoints.types import Checkpoint

D = TypeVar("D", bound=Deployment | None)


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What `apo policy inspect` reports of a checkpoint beyond its model's configuration."""

    state: tuple[str, ...]  # parts of the contract's state that it reads
    statistics: tuple[str, ...] = ()  # keys; empty where there is one set without a key
    chosen_statistics: str = ""
    notes: tuple[str, ...] = ()


class Family(ABC, Generic[D]):
    """One subclass in each folder of `families/`; `apo_vla.loading` lists them.

    `D` holds the parameters of the family's deployment.yaml; None: its checkpoints carry their contract themselves.
    """

    name: str  # in config.json: `family`, `model_type` or `type`
    title: str  # for messages
    deployment: type[D] | None = None

    @abstractmethod
    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: D) -> Checkpoint:
        """Reads and verifies a checkpoint; see `apo_vla.loading.load_checkpoint`."""

    @abstractmethod
    def facts(self, folder: Path, checkpoint: Checkpoint, deployment: D) -> CheckpointFacts:
        """What is to be reported of a loaded checkpoint."""

    def deployment_notes(self, checkpoint: Checkpoint, deployment: D) -> list[str]:
        """Where a deployment differs from what the checkpoint's files show of its training."""
        return []

    def stand_in(self, folder: Path) -> tuple[D, str]:
        """A deployment with which a checkpoint without deployment.yaml can be inspected, and a note about it.

        Raises:
            CheckpointError: the family has no stand-in, or the files do not allow one.
        """
        raise CheckpointError(f"{folder / DEPLOYMENT} is missing; docs/how-to/checkpoints.md shows one for {self.name}")

    def binding_faults(self, folder: Path, deployment: D, given: Collection[str]) -> list[str]:
        """Values of a deployment about to be written that the family does not take from it, or needs to be given.

        Args:
            folder: of the checkpoint.
            deployment: to be written.
            given: parameters that were chosen, not left at their default.

        Raises:
            CheckpointError: files of the checkpoint cannot be read.
        """
        return []

    def proposals(self, folder: Path, given: Mapping[str, Any], rate_hz: float) -> dict[str, Any]:
        """Values for a deployment about to be written that the checkpoint's files show; those that are given win.

        Args:
            folder: of the checkpoint.
            given: {parameter: value} that was chosen.
            rate_hz: of the contract.

        Raises:
            CheckpointError: files of the checkpoint cannot be read.
        """
        return {}

    def binding_notes(self, deployment: D) -> list[str]:
        """What is to be checked by eye in a deployment that was written."""
        return []

    def data_range(self, folder: Path, deployment: D) -> DataRange | None:
        """Of the training data's actions in contract units; None where the deployment converts none."""
        return None

    def bind(self, folder: Path, deployment: D, contract: Contract) -> D:
        """The deployment to be written, completed from the files of the checkpoint.

        Raises:
            CheckpointError, ConfigError: checkpoint, deployment and contract do not fit each other.
        """
        return deployment
