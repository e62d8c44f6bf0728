"""OpenVLA and OpenVLA-OFT as a family of `apo_vla.loading`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from apo_core.contract.action_range import DataRange
from apo_core.contract.contract import Contract
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.checkpoints.deployment import DEPLOYMENT
from apo_vla.checkpoints.family import CheckpointFacts, Family
from apo_vla.checkpoints.types import CONFIG, Checkpoint
from apo_vla.families.openvla.checkpoint import load_openvla, read_openvla_folder
from apo_vla.families.openvla.component_files import component_files
from apo_vla.families.openvla.deployment import (
    OpenVlaDeployment,
    orientation_notes,
    picture_notes,
    picture_proposals,
    rate_notes,
    unit_proposals,
)
from apo_vla.families.openvla.oft import OpenVlaOft
from apo_vla.families.openvla.statistics import PublishedStatistics, read_norm_stats, select
from apo_vla.inputs.state_parts import size_faults

_STAND_IN_CAMERA = "camera"
_HEADS = {
    True: "continuous action head (action_head--*_checkpoint.pt)",
    False: "no action_head--*_checkpoint.pt: served with a discrete head; one trained with L1 needs its file",
}


class OpenVlaFamily(Family[OpenVlaDeployment]):
    """See `Family`."""

    name, title, deployment = "openvla", "OpenVLA", OpenVlaDeployment

    def load(self, folder: Path, device: str, dtype: torch.dtype | None, deployment: OpenVlaDeployment) -> Checkpoint:
        """Reads a published checkpoint."""
        return load_openvla(folder, device, dtype, deployment)

    def facts(self, folder: Path, checkpoint: Checkpoint, deployment: OpenVlaDeployment) -> CheckpointFacts:
        """Statistics to choose from, and which head an OFT checkpoint is served with."""
        model = checkpoint.model
        notes: tuple[str, ...] = ()
        if isinstance(model, OpenVlaOft):
            # without its file, a continuous head cannot be distinguished from a discrete one
            notes = (_HEADS[model.action_head is not None],)
            if deployment.chunk == 1:
                notes += (f"chunk = 1 ({DEPLOYMENT}): OpenVLA-OFT predicts 8 actions of LIBERO, 25 of ALOHA",)
        notes += tuple(
            f"{path.parent.name}: not merged (adapter = {deployment.adapter!r}, {DEPLOYMENT}), right where the weights "
            "hold it already, as OpenVLA-OFT saves them"
            for path in sorted(Path(folder).glob("*/adapter_config.json"))
            if path.parent != Path(folder) / deployment.adapter
        )
        keys = tuple(sorted(_norm_stats(folder)))
        return CheckpointFacts(deployment.state, keys, cast(PublishedStatistics, checkpoint.statistics).key, notes)

    def deployment_notes(self, checkpoint: Checkpoint, deployment: OpenVlaDeployment) -> list[str]:
        """Pictures not made as those of LIBERO, where the statistics are of LIBERO; another rate than the data's."""
        key = cast(PublishedStatistics, checkpoint.statistics).key
        return picture_notes(key, deployment) + rate_notes(key, deployment)

    def stand_in(self, folder: Path) -> tuple[OpenVlaDeployment, str]:
        """One camera, and the first statistics."""
        note = f"no {DEPLOYMENT}: one camera, chunk 1 and the first statistics stand in; `apo policy bind` writes one"
        key = sorted(_norm_stats(folder))[0]
        return OpenVlaDeployment(cameras=(_STAND_IN_CAMERA,), statistics_key=key), note

    def binding_faults(self, folder: Path, deployment: OpenVlaDeployment, given: Collection[str]) -> list[str]:
        """The chunk of an OFT checkpoint, which no file holds: with another one it acts wrongly."""
        found = [name for name in ("action_head", "proprio_projector") if component_files(folder, name)]
        if not found or "chunk" in given:
            return []
        return [f"chunk is not given, and {found[0]} is OpenVLA-OFT's: --chunk N, 8 of LIBERO, 25 of ALOHA"]

    def proposals(self, folder: Path, given: Mapping[str, Any], rate_hz: float) -> dict[str, Any]:
        """How the pictures of LIBERO were made, and its units, where the statistics are of LIBERO."""
        keys = list(_norm_stats(folder))
        key = given.get("statistics_key") or (keys[0] if len(keys) == 1 else "")
        return {**picture_proposals(str(key)), **unit_proposals(str(key), rate_hz)}

    def binding_notes(self, deployment: OpenVlaDeployment) -> list[str]:
        """Pictures of LIBERO that are not turned, and another rate than that of the data."""
        return orientation_notes(deployment) + rate_notes(deployment.statistics_key, deployment)

    def data_range(self, folder: Path, deployment: OpenVlaDeployment) -> DataRange:
        """Of the statistics that the deployment names."""
        return select(_norm_stats(folder), deployment, False, str(folder)).codec().data_range

    def bind(self, folder: Path, deployment: OpenVlaDeployment, contract: Contract) -> OpenVlaDeployment:
        """Names the only statistics there are, and checks the state that a proprioception projector reads."""
        chosen = select(_norm_stats(folder), deployment, False, str(folder))
        deployment = dataclasses.replace(deployment, statistics_key=chosen.key)
        found = read_openvla_folder(folder, deployment)
        if found.projector is not None:
            sizes = {spec.name: spec.size for spec in contract.state}
            wanted, reader = found.model_config.state_size, found.projector.path.name
            if faults := size_faults(deployment.state, sizes, wanted, reader):
                raise ConfigError(str(folder / DEPLOYMENT), faults)
        return deployment


def _norm_stats(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: cannot be read ({error})") from None
    return read_norm_stats(folder, config)
