"""Reads a published checkpoint of OpenVLA or OpenVLA-OFT.

Its files: config.json, sharded safetensors, tokenizer.json, preprocessor_config.json, statistics; OFT's head and
projector. It is OFT where one of these two is there or the deployed chunk has more than one row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import LlamaConfig

from apo_core.errors import AdapterError, CheckpointError
from apo_vla.checkpoints.deployment import DEPLOYMENT, conversion_sha256
from apo_vla.checkpoints.types import CONFIG, TOKENIZER, Checkpoint
from apo_vla.checkpoints.weight_files import WeightFiles
from apo_vla.families.openvla.component_files import Component, read_component
from apo_vla.families.openvla.deployment import OpenVlaDeployment
from apo_vla.families.openvla.images import read_image_settings
from apo_vla.families.openvla.model import OpenVla
from apo_vla.families.openvla.oft import OpenVlaOft
from apo_vla.families.openvla.prismatic import OpenVlaConfig, PrismaticVla
from apo_vla.families.openvla.statistics import PublishedStatistics, read_norm_stats, select
from apo_vla.families.openvla.vit import VitShape, is_unused, vit_shape
from apo_vla.inputs.text_tokenizer import read_tokenizer
from apo_vla.lora.merged import MergedAdapter

TOWERS = ("vision_backbone.featurizer.", "vision_backbone.fused_featurizer.")


@dataclass(frozen=True)
class OpenVlaFolder:
    """The content of a checkpoint's files without the weights."""

    folder: Path
    config: Mapping[str, Any]  # config.json
    deployment: OpenVlaDeployment
    weights: WeightFiles
    towers: tuple[VitShape, ...]
    text: LlamaConfig
    statistics: PublishedStatistics
    model_config: OpenVlaConfig
    adapter: MergedAdapter | None
    head: Component | None
    projector: Component | None

    @property
    def parallel(self) -> bool:
        """Whether a chunk is decoded in one pass (OpenVLA-OFT)."""
        return self.head is not None or self.projector is not None or self.model_config.chunk > 1

    def empty_model(self) -> PrismaticVla:
        """The model without weights: parameters on the meta device, buffers real."""
        # buffers are not in the files; on the meta device the rotary ones would stay empty
        with init_empty_weights(include_buffers=False):
            if self.parallel:
                return OpenVlaOft(self.model_config, self.towers, self.text, self.head is not None).eval()
            return OpenVla(self.model_config, self.towers, self.text).eval()

    def fill(self, model: PrismaticVla, device: str, dtype: torch.dtype) -> None:
        """Reads every weight. Raises CheckpointError."""
        components = (("proprio_projector", self.projector), ("action_head", self.head))
        own = {name: component for name, component in components if component is not None}
        for name, component in own.items():
            component.fill(getattr(model, name), device, dtype)
        change = self.adapter.merge if self.adapter else None
        # components have files of their own
        elsewhere = [name for name, _ in model.named_parameters() if name.split(".")[0] in own]
        try:
            self.weights.fill(model, device, dtype, self.rename, change, elsewhere)
            if self.adapter:
                self.adapter.check_not_held()
        except AdapterError as error:
            raise _adapter_error(self.folder, self.deployment, error) from None

    def rename(self, name: str) -> str | None:
        """Name of a tensor of the files in the model, None for one that it does not need."""
        for prefix, shape in zip(TOWERS, self.towers, strict=False):
            if name.startswith(prefix) and is_unused(name.removeprefix(prefix), shape):
                return None
        return None if name.endswith(".rotary_emb.inv_freq") else name

    @property
    def base_sha256(self) -> str:
        """Hash of the weights, the adapter merged into them, and the components."""
        components = [part.path for part in (self.head, self.projector) if part is not None]
        return self.weights.sha256([*(self.adapter.files if self.adapter else ()), *components])


def read_openvla_folder(folder: Path, deployment: OpenVlaDeployment) -> OpenVlaFolder:
    """Reads everything but the weights.

    Args:
        folder: of the checkpoint.
        deployment: of the checkpoint.

    Raises:
        CheckpointError: a file is missing, unreadable, or does not fit the others.
    """
    folder = Path(folder)
    config = json.loads((folder / CONFIG).read_text())
    weights = WeightFiles(folder)
    try:
        timm_ids = [str(name) for name in config["timm_model_ids"]]
        text_config = dict(config["text_config"])
        kind = text_config.pop("model_type", "llama")
        pad_id, bins = config.get("pad_token_id", 32000), config.get("n_action_bins", 256)
        extra = config.get("pad_to_multiple_of", 64)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: lacks timm_model_ids or text_config ({error})") from None
    if kind != "llama":
        raise CheckpointError(f"{folder / CONFIG}: text_config.model_type = {kind!r}, only 'llama' is supported")
    towers = tuple(
        vit_shape(timm_id, _within(weights.shapes, prefix), weights.source)
        for timm_id, prefix in zip(timm_ids, TOWERS, strict=False)
    )
    text_config = {key: value for key, value in text_config.items() if key not in ("dtype", "torch_dtype")}
    try:
        text = LlamaConfig(**{**text_config, "attn_implementation": "sdpa", "use_cache": False})
        pad_id, bins, extra = int(pad_id), int(bins), int(extra)
    except Exception as error:  # the checks of transformers raise types of their own
        raise CheckpointError(f"{folder / CONFIG}: {' '.join(str(error).split())}") from None
    head, projector = read_component(folder, "action_head"), read_component(folder, "proprio_projector")
    statistics = select(read_norm_stats(folder, config), deployment, projector is not None, str(folder))
    image = read_image_settings(
        folder, towers[0].image_size, len(towers), deployment.centre_crop, deployment.resampling
    )
    model_config = OpenVlaConfig(
        views=deployment.views,
        state_size=projector.shape("fc1.weight")[1] if projector else 0,
        action_size=len(statistics.action.low),
        chunk=deployment.chunk,
        period_ns=deployment.period_ns,
        image=image,
        prompt=deployment.prompt,
        prompt_length=deployment.prompt_length,
        pad_id=pad_id,
        # the vocabulary of the weights is padded by as much
        action_end=text.vocab_size - extra,
        bins=bins,
    )
    adapter = _read_adapter(folder, deployment, weights)
    found = OpenVlaFolder(
        folder, config, deployment, weights, towers, text, statistics, model_config, adapter, head, projector
    )
    _check(found)
    return found


def load_openvla(folder: Path, device: str, dtype: torch.dtype | None, deployment: OpenVlaDeployment) -> Checkpoint:
    """Reads a checkpoint; see `apo_vla.loading.load_checkpoint` and `read_openvla_folder`."""
    found = read_openvla_folder(folder, deployment)
    model = found.empty_model()
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    found.fill(model, device, dtype)
    model.to(device)  # the buffers
    tokenizer = read_tokenizer(found.folder / TOKENIZER, found.text.vocab_size)
    digest = conversion_sha256(found.statistics.sha256, deployment)
    return Checkpoint(model, tokenizer, found.statistics, found.base_sha256, digest, {})


def _within(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _check(found: OpenVlaFolder) -> None:
    config, state, faults = found.model_config, list(found.deployment.state), []
    if not config.cameras or (len(config.cameras) > 1 and not found.parallel):
        faults.append(f"cameras = {list(config.cameras)}: OpenVLA looks through one camera, OpenVLA-OFT through some")
    if bool(state) != bool(config.state_size):
        faults.append(f"state = {state}, the checkpoint reads {config.state_size} numbers of proprioception")
    proprio, projector = found.statistics.proprio, found.projector
    if proprio is not None and projector is not None and len(proprio.low) != config.state_size:
        faults.append(
            f"statistics {found.statistics.key!r} have {len(proprio.low)} numbers of proprioception, "
            f"{projector.path.name} takes {config.state_size}"
        )
    film = sorted(found.folder.glob("vision_backbone--*"))
    if film:
        faults.append(f"{film[0].name}: vision towers with FiLM are not supported")
    if faults:
        raise CheckpointError(f"{found.folder / DEPLOYMENT}: {'; '.join(faults)}")


def _read_adapter(folder: Path, deployment: OpenVlaDeployment, weights: WeightFiles) -> MergedAdapter | None:
    if not deployment.adapter:
        return None
    try:
        return MergedAdapter(folder / deployment.adapter, weights.shapes)
    except AdapterError as error:
        raise _adapter_error(folder, deployment, error) from None


def _adapter_error(folder: Path, deployment: OpenVlaDeployment, error: AdapterError) -> CheckpointError:
    return CheckpointError(f"{folder / DEPLOYMENT}: adapter = {deployment.adapter!r}: {error}")
