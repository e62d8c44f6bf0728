"""Reads a SmolVLA checkpoint in LeRobot's layout.

Its files: config.json, model.safetensors, policy_preprocessor.json with its statistics; and SmolVLM2's tokenizer.json,
which older versions of LeRobot keep elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer
from transformers import LlamaConfig, SmolVLMConfig

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.deployment import DEPLOYMENT, conversion_sha256
from apo_vla.checkpoints.types import CONFIG, Checkpoint
from apo_vla.checkpoints.weight_files import WeightFiles
from apo_vla.families.smolvla.model import SmolVla, SmolVlaConfig
from apo_vla.inputs.text_tokenizer import find_tokenizer, read_tokenizer
from apo_vla.lerobot.config_file import read_settings, setting_faults, whole_number
from apo_vla.lerobot.deployment import FlowDeployment
from apo_vla.lerobot.flow_settings import FlowSizes, flow_faults, flow_fields
from apo_vla.lerobot.paligemma import count_layers
from apo_vla.lerobot.statistics import LeRobotStatistics, read_lerobot_statistics

_ROOT = "model.vlm_with_expert."
_VLM, _EXPERT = f"{_ROOT}vlm.model.", f"{_ROOT}lm_expert."
_HEAD, _EMBEDDING = f"{_ROOT}vlm.lm_head.weight", f"{_VLM}text_model.embed_tokens.weight"
_HEAD_SIZE = 64  # of SmolLM2 in every size, and of SigLIP base
_LARGE_VISION = {1152: 16}  # {width: heads} of SigLIP so400m
_EPSILON = 1e-5  # of SmolLM2's norms
_THETA = 10_000.0  # of LeRobot's rotary embedding, whatever SmolLM2 has
_IMAGE_MARKS = ("<fake_token_around_image>", "<global-img>")
_UNSUPPORTED = {"num_expert_layers": -1}


def load_smolvla(folder: Path, device: str, dtype: torch.dtype | None, deployment: FlowDeployment) -> Checkpoint:
    """Reads a checkpoint; see `apo_vla.loading.load_checkpoint`."""
    folder = Path(folder)
    settings = read_settings(folder)
    weights = WeightFiles(folder)
    vlm, expert = _sizes(weights)
    statistics = read_lerobot_statistics(folder, deployment)
    tokenizer = read_tokenizer(find_tokenizer(folder, deployment.text_tokenizer), vlm.text_config.vocab_size)
    config = _config(folder, settings, deployment, statistics, tokenizer, vlm, weights)
    # buffers are not in the files; on the meta device the rotary ones would stay empty
    with init_empty_weights(include_buffers=False):
        model = SmolVla(config, vlm, expert).eval()
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    weights.fill(model, device, dtype, _renamer(weights.shapes), stays_float32=model.stays_float32)
    model.to(device)
    digest = conversion_sha256(statistics.sha256, deployment)
    return Checkpoint(model, tokenizer, statistics, weights.sha256(), digest, {})


def _renamer(names: Collection[str]) -> Callable[[str], str | None]:
    parts = {
        f"{_VLM}text_model.": "language_model.",
        _VLM: "",
        _EXPERT: "action_expert.",
        _HEAD: None if _EMBEDDING in names else "language_model.embed_tokens.weight",
        "model.": "",
    }

    def rename(name: str) -> str | None:
        for prefix, ours in parts.items():
            if name.startswith(prefix):
                return None if ours is None else ours + name[len(prefix) :]
        return name

    return rename


def _sizes(weights: WeightFiles) -> tuple[SmolVLMConfig, LlamaConfig]:
    """Sizes, read from the tensors."""
    shapes = weights.shapes
    try:
        vocabulary = (shapes.get(_EMBEDDING) or shapes[_HEAD])[0]
        text = LlamaConfig(vocab_size=vocabulary, **_llama(shapes, f"{_VLM}text_model."))
        width, _, patch, _ = shapes[f"{_VLM}vision_model.embeddings.patch_embedding.weight"]
        patches = shapes[f"{_VLM}vision_model.embeddings.position_embedding.weight"][0]
        vision = {
            "hidden_size": width,
            "intermediate_size": shapes[f"{_VLM}vision_model.encoder.layers.0.mlp.fc1.weight"][0],
            "num_hidden_layers": count_layers(shapes, f"{_VLM}vision_model.encoder.layers."),
            "num_attention_heads": _LARGE_VISION.get(width, width // _HEAD_SIZE),
            "image_size": math.isqrt(patches) * patch,
            "patch_size": patch,
        }
        joined = shapes[f"{_VLM}connector.modality_projection.proj.weight"][1]
        expert = LlamaConfig(vocab_size=1, **_llama(shapes, _EXPERT))
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{weights.source}: is no SmolVLA in LeRobot's layout, lacks {error}") from None
    vlm = SmolVLMConfig(
        text_config=text.to_dict(), vision_config=vision, scale_factor=math.isqrt(joined // width), use_cache=False
    )
    return vlm, expert


def _llama(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, Any]:
    queries, hidden = shapes[f"{prefix}layers.0.self_attn.q_proj.weight"]
    return {
        "hidden_size": hidden,
        "intermediate_size": shapes[f"{prefix}layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": count_layers(shapes, f"{prefix}layers."),
        "num_attention_heads": queries // _HEAD_SIZE,
        "num_key_value_heads": shapes[f"{prefix}layers.0.self_attn.k_proj.weight"][0] // _HEAD_SIZE,
        "head_dim": _HEAD_SIZE,
        "rms_norm_eps": _EPSILON,
        "rope_parameters": {"rope_type": "default", "rope_theta": _THETA},
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "use_cache": False,
    }


def _config(
    folder: Path,
    settings: Mapping[str, Any],
    deployment: FlowDeployment,
    statistics: LeRobotStatistics,
    tokenizer: Tokenizer,
    vlm: SmolVLMConfig,
    weights: WeightFiles,
) -> SmolVlaConfig:
    size = vlm.vision_config.image_size
    sizes = FlowSizes.of(weights, state="model.state_proj.weight", action="model.action_in_proj.weight")
    faults = flow_faults(settings, deployment, statistics, sizes)
    faults += setting_faults(folder, settings, _UNSUPPORTED)
    if settings.get("resize_imgs_with_padding", [size, size]) != [size, size]:
        found = settings["resize_imgs_with_padding"]
        faults.append(f"{CONFIG}: resize_imgs_with_padding = {found!r}, the vision tower takes {[size, size]}")
    wanted = _IMAGE_MARKS if settings.get("add_image_special_tokens") else ()
    marks = [number for mark in wanted if (number := tokenizer.token_to_id(mark)) is not None]
    empty = settings.get("empty_cameras", 0)
    if type(empty) is not int or empty < 0:
        faults.append(f"{CONFIG}: empty_cameras = {empty!r} must be a whole number of at least 0")
    if len(marks) < len(wanted):
        faults.append(f"{deployment.text_tokenizer} lacks {' or '.join(_IMAGE_MARKS)}")
    if faults:
        raise CheckpointError(f"{folder / DEPLOYMENT}: {'; '.join(faults)}")
    crosses = "cross" in settings.get("attention_mode", "cross_attn")
    every = settings.get("self_attn_every_n_layers", 2) if crosses else 1
    if type(every) is not int or every < 1:
        raise CheckpointError(f"{folder / CONFIG}: self_attn_every_n_layers = {every!r} must be at least 1")
    return SmolVlaConfig(
        **flow_fields(folder, settings, deployment, statistics, sizes),
        image_size=size,
        prompt_length=whole_number(settings, "tokenizer_max_length", 48, folder / CONFIG),
        joint_every=every,
        image_start=tuple(marks),
        image_end=tuple(marks[:1]),
        empty_images=empty,
    )
