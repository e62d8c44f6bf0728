"""The families of models, and how a checkpoint folder of any of them is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from apo_core.errors import CheckpointError
from apo_vla.checkpoints import deployment as deployments
from apo_vla.checkpoints.deployment import Deployment
from apo_vla.checkpoints.family import Family
from apo_vla.checkpoints.types import CONFIG, Checkpoint, read_family_name
from apo_vla.families.openvla.family import OpenVlaFamily
from apo_vla.families.pi0.family import Pi0Family, Pi05Family
from apo_vla.families.pi0_fast.family import Pi0FastFamily
from apo_vla.families.small_vla.family import SmallFlowFamily, SmallVlaFamily
from apo_vla.families.smolvla.family import SmolVlaFamily

FAMILIES: tuple[Family, ...] = (
    SmallVlaFamily(),
    SmallFlowFamily(),
    OpenVlaFamily(),
    Pi0FastFamily(),
    SmolVlaFamily(),
    Pi0Family(),
    Pi05Family(),
)


def read_family(folder: Path) -> Family:
    """The family of a checkpoint.

    Raises:
        CheckpointError: no readable config.json, or one that names no known family.
    """
    name = read_family_name(folder)
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise CheckpointError(f"{Path(folder) / CONFIG}: unknown family {name!r}; known: {known}")


def foreign_parameters(family: Family) -> dict[str, Any]:
    """{parameter: default} that deployment.yaml has in other families and not in this one."""
    kinds = [other.deployment for other in FAMILIES if other.deployment is not None]
    specs = [spec for kind in kinds for spec in dataclasses.fields(kind)]
    own = {spec.name for spec in dataclasses.fields(family.deployment)} if family.deployment else set()
    return {spec.name: spec.default for spec in specs if spec.name not in own}


def read_deployment(folder: Path, family: Family | None = None) -> Deployment | None:
    """Reads deployment.yaml; None in a family that has none.

    Args:
        folder: of the checkpoint.
        family: of the checkpoint; None: the one that its config.json names.

    Raises:
        CheckpointError, ConfigError: see `read_family` and `apo_vla.checkpoints.deployment.read_deployment`.
    """
    family = family or read_family(folder)
    if family.deployment is None:
        return None
    return deployments.read_deployment(folder, family.deployment, foreign_parameters(family), family.title)


def load_checkpoint(
    folder: Path, device: str = "cpu", dtype: torch.dtype | None = None, deployment: Deployment | None = None
) -> Checkpoint:
    """Reads and verifies a checkpoint folder of any family.

    Args:
        folder: with config.json, which names the family.
        device: where published checkpoints are read to; the small VLA is read to the CPU.
        dtype: of the weights in memory. None: float32 on a CPU; bfloat16 elsewhere, but the small VLA float32.
        deployment: of a published checkpoint, instead of its deployment.yaml.

    Raises:
        CheckpointError: files missing or changed, an unknown family, or weights whose names or shapes differ; names
            them.
        ConfigError: faults in deployment.yaml.
    """
    folder = Path(folder)
    family = read_family(folder)
    return family.load(folder, device, dtype, deployment or read_deployment(folder, family))
