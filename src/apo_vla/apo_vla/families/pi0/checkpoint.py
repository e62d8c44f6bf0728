"""Reads a pi0 or pi0.5 checkpoint in LeRobot's layout.

Its files: config.json, model.safetensors, policy_preprocessor.json with its statistics; and PaliGemma's tokenizer.json,
which older versions of LeRobot keep elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import init_empty_weights

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.deployment import DEPLOYMENT, conversion_sha256
from apo_vla.checkpoints.types import CONFIG, Checkpoint
from apo_vla.checkpoints.weight_files import WeightFiles
from apo_vla.families.pi0.model import PaliGemmaFlow
from apo_vla.inputs.text_tokenizer import find_tokenizer, read_tokenizer
from apo_vla.lerobot.config_file import read_settings, setting_faults, whole_number
from apo_vla.lerobot.deployment import FlowDeployment
from apo_vla.lerobot.flow import LeRobotFlowConfig
from apo_vla.lerobot.flow_settings import FlowSizes, flow_faults, flow_fields
from apo_vla.lerobot.paligemma import VOCABULARY, gemma_config, paligemma_config, paligemma_renamer
from apo_vla.lerobot.statistics import read_lerobot_statistics

_EXPERT = "paligemma_with_expert.gemma_expert."
_LAYERS = f"{_EXPERT}model."
_UNSUPPORTED = {"use_visual_memory": False, "use_proprioceptive_memory": False}


def load_pi0(
    folder: Path,
    device: str,
    dtype: torch.dtype | None,
    deployment: FlowDeployment,
    kind: type[PaliGemmaFlow],
    title: str,
) -> Checkpoint:
    """Reads a checkpoint; see `apo_vla.loading.load_checkpoint`.

    Args:
        folder, device, dtype, deployment: see there.
        kind: `Pi0` or `Pi05`.
        title: of the family, for messages.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    weights = WeightFiles(folder)
    stem = "model." if any(name.startswith(f"model.{_EXPERT}") for name in weights.shapes) else ""
    paligemma = paligemma_config(weights, title)
    expert = gemma_config(weights, f"{stem}{_LAYERS}", title)
    statistics = read_lerobot_statistics(folder, deployment)
    tokenizer = read_tokenizer(find_tokenizer(folder, deployment.text_tokenizer), paligemma.text_config.vocab_size)
    state = f"{stem}state_proj.weight" if kind.takes_state else None
    sizes = FlowSizes.of(weights, state, f"{stem}action_in_proj.weight")
    size = paligemma.vision_config.image_size
    faults = flow_faults(settings, deployment, statistics, sizes) + setting_faults(folder, settings, _UNSUPPORTED)
    if list(settings.get("image_resolution", [size, size])) != [size, size]:
        faults.append(f"{CONFIG}: image_resolution = {settings['image_resolution']!r}, the tower takes {[size, size]}")
    if paligemma.text_config.vocab_size < VOCABULARY:
        faults.append(f"the model has {paligemma.text_config.vocab_size} tokens, PaliGemma has {VOCABULARY}")
    if faults:
        raise CheckpointError(f"{folder / DEPLOYMENT}: {'; '.join(faults)}")
    config = LeRobotFlowConfig(
        **flow_fields(folder, settings, deployment, statistics, sizes, steps="num_inference_steps"),
        image_size=size,
        prompt_length=whole_number(settings, "tokenizer_max_length", kind.prompt_length, folder / CONFIG),
    )
    # buffers are not in the files; on the meta device the rotary ones would stay empty
    with init_empty_weights(include_buffers=False):
        model = kind(config, paligemma, expert).eval()
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    ours = [name for name, _ in model.named_parameters()]
    renamed = paligemma_renamer(ours, weights.shapes)

    def rename(name: str) -> str | None:
        inner = name.removeprefix("model.")
        if inner.startswith(_EXPERT):
            return None if inner == f"{_EXPERT}lm_head.weight" else f"action_expert.{inner.removeprefix(_LAYERS)}"
        found = renamed(name)
        return None if found is None else found.removeprefix("model.")

    weights.fill(model, device, dtype, rename, stays_float32=model.stays_float32)
    model.to(device)
    digest = conversion_sha256(statistics.sha256, deployment)
    return Checkpoint(model, tokenizer, statistics, weights.sha256(), digest, {})
