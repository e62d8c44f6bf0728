"""Reads a pi0-FAST checkpoint in LeRobot's layout.

Its files: config.json, model.safetensors, policy_preprocessor.json with its statistics; PaliGemma's tokenizer.json and
a folder with the FAST tokenizer, which older versions of LeRobot keep elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer
from transformers import PaliGemmaConfig

from apo_core.errors import CheckpointError
from apo_vla.actions.fast_tokenizer import FastTokenizer, read_fast_tokenizer
from apo_vla.checkpoints.deployment import DEPLOYMENT, conversion_sha256
from apo_vla.checkpoints.types import CONFIG, Checkpoint
from apo_vla.checkpoints.weight_files import WeightFiles
from apo_vla.families.pi0_fast.deployment import Pi0FastDeployment
from apo_vla.families.pi0_fast.model import Pi0Fast, Pi0FastConfig
from apo_vla.lerobot.statistics import LeRobotStatistics, read_lerobot_statistics
from apo_vla.inputs.text_tokenizer import find_tokenizer, read_tokenizer

_PREFIX = re.compile(r"^(model\.)?paligemma_with_expert\.paligemma\.")
_TEXT, _VISION = "model.language_model.", "model.vision_tower.vision_model."
_HEAD, _EMBEDDING = "lm_head.weight", "paligemma.language_model.embed_tokens.weight"
VOCABULARY = 257152  # of PaliGemma's tokenizer; FAST tokens count down from its end
_VISION_HEADS, _KEY_VALUE_HEADS = 16, 1  # of SigLIP so400m, and of both Gemma variants


def load_pi0_fast(folder: Path, device: str, dtype: torch.dtype | None, deployment: Pi0FastDeployment) -> Checkpoint:
    """Reads a checkpoint; see `apo_vla.loading.load_checkpoint`."""
    folder = Path(folder)
    settings = json.loads((folder / CONFIG).read_text())
    weights = WeightFiles(folder)
    paligemma = _paligemma_config(weights)
    statistics = read_lerobot_statistics(folder, deployment)
    fast = read_fast_tokenizer(folder / deployment.action_tokenizer)
    tokenizer = read_tokenizer(find_tokenizer(folder, deployment.text_tokenizer), paligemma.text_config.vocab_size)
    config = _config(folder, settings, deployment, statistics, tokenizer, fast, paligemma)
    # buffers are not in the files; on the meta device the rotary ones would stay empty
    with init_empty_weights(include_buffers=False):
        model = Pi0Fast(config, paligemma, _has_own_head(weights)).eval()
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    weights.fill(model, device, dtype, _renamer(model, weights.shapes))
    model.to(device)
    digest = conversion_sha256(statistics.sha256, deployment)
    return Checkpoint(model, tokenizer, statistics, weights.sha256(), digest, {})


def camera_features(settings: Mapping) -> list[str]:
    """Names of the images that a model takes by its config.json, in its order; empty where it lists none.

    LeRobot's `empty_cameras` are placeholders for images that do not exist.
    """
    features = settings.get("input_features")
    features = features if isinstance(features, Mapping) else {}
    visual = [name for name, spec in features.items() if isinstance(spec, Mapping) and spec.get("type") == "VISUAL"]
    return [name for name in visual if ".empty_camera_" not in name]


def camera_faults(deployment: Pi0FastDeployment, settings: Mapping) -> list[str]:
    """No cameras, or more than the model takes; with fewer it sees less than in training, or black with openpi."""
    features = camera_features(settings)
    if not deployment.cameras:
        return ["cameras is empty"]
    if features and len(deployment.cameras) > len(features):
        return [
            f"cameras = {list(deployment.cameras)} are {len(deployment.cameras)}, the model takes {len(features)} "
            f"({CONFIG}, input_features: {', '.join(features)})"
        ]
    return []


def camera_notes(cameras: Sequence[str], settings: Mapping, black: Sequence[int] = ()) -> list[str]:
    """Images of the training that the model does not receive.

    Args:
        cameras: contract names, in the model's order.
        settings: of config.json.
        black: places of the black images among the model's.
    """
    features = camera_features(settings)
    pictured = [name for place, name in enumerate(features) if place not in black]
    given = pictured[: len(cameras)]
    unseen = [name for name in features if name not in given]
    if not unseen:
        return []
    return [
        f"cameras = {list(cameras)} ({DEPLOYMENT}) stand for {', '.join(given)}; "
        f"the model was also trained with {', '.join(unseen)}"
    ]


def _has_own_head(weights: WeightFiles) -> bool:
    """Whether the head is another matrix than the embedding: LeRobot saves both, and may train them apart."""
    names = {_PREFIX.sub("", name): name for name in weights.shapes}
    head, embedding = names.get(_HEAD), names.get(f"{_TEXT}embed_tokens.weight")
    return head is not None and embedding is not None and not weights.equal(head, embedding)


def _renamer(model: Pi0Fast, names: Mapping[str, object]) -> Callable[[str], str | None]:
    ours = {name for name, _ in model.named_parameters()}
    nested = any(name.startswith("paligemma.vision_tower.vision_model.") for name in ours)
    embedded = any(_PREFIX.sub("", name) == f"{_TEXT}embed_tokens.weight" for name in names)

    def rename(name: str) -> str | None:
        inner = _PREFIX.sub("", name)
        if inner == name:
            return name
        if inner == _HEAD:
            if model.lm_head is not None:
                return _HEAD
            return None if embedded else _EMBEDDING  # both are one matrix
        inner = inner.removeprefix("model.")
        if not nested:
            inner = inner.replace("vision_tower.vision_model.", "vision_tower.")
        return f"paligemma.{inner}"

    return rename


def _paligemma_config(weights: WeightFiles) -> PaliGemmaConfig:
    """Sizes, read from the tensors."""
    shapes = {_PREFIX.sub("", name): shape for name, shape in weights.shapes.items()}
    try:
        vocabulary, hidden = shapes.get(_HEAD) or shapes[f"{_TEXT}embed_tokens.weight"]
        head = shapes[f"{_TEXT}layers.0.self_attn.k_proj.weight"][0] // _KEY_VALUE_HEADS
        text = {
            "model_type": "gemma",
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "intermediate_size": shapes[f"{_TEXT}layers.0.mlp.gate_proj.weight"][0],
            "num_hidden_layers": _layers(shapes, f"{_TEXT}layers."),
            "num_attention_heads": shapes[f"{_TEXT}layers.0.self_attn.q_proj.weight"][0] // head,
            "num_key_value_heads": _KEY_VALUE_HEADS,
            "head_dim": head,
            "hidden_activation": "gelu_pytorch_tanh",
        }
        width, _, patch, _ = shapes[f"{_VISION}embeddings.patch_embedding.weight"]
        patches = shapes[f"{_VISION}embeddings.position_embedding.weight"][0]
        vision = {
            "model_type": "siglip_vision_model",
            "hidden_size": width,
            "intermediate_size": shapes[f"{_VISION}encoder.layers.0.mlp.fc1.weight"][0],
            "num_hidden_layers": _layers(shapes, f"{_VISION}encoder.layers."),
            "num_attention_heads": _VISION_HEADS,
            "image_size": math.isqrt(patches) * patch,
            "patch_size": patch,
            "projection_dim": hidden,
            "vision_use_head": False,
        }
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{weights.source}: is no pi0-FAST in LeRobot's layout, lacks {error}") from None
    return PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=hidden)


def _layers(shapes: Mapping[str, object], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in shapes if name.startswith(prefix))


def _config(
    folder: Path,
    settings: Mapping,
    deployment: Pi0FastDeployment,
    statistics: LeRobotStatistics,
    tokenizer: Tokenizer,
    fast: FastTokenizer,
    paligemma: PaliGemmaConfig,
) -> Pi0FastConfig:

    def number(name: str, default: int) -> int:
        value = settings.get(name, default)
        if type(value) is not int or value < 1:
            raise CheckpointError(f"{folder / CONFIG}: {name} = {value!r} must be a whole number of at least 1")
        return value

    end = tokenizer.encode("|", add_special_tokens=False).ids
    config = Pi0FastConfig(
        views=deployment.views,
        state_size=len(statistics.state_low),
        action_size=len(statistics.action_low),
        chunk=number("chunk_size", 50),
        period_ns=deployment.period_ns,
        image_size=paligemma.vision_config.image_size,
        prompt_length=number("tokenizer_max_length", 200) + 2,
        max_tokens=number("max_decoding_steps", 256),
        intro=tuple(tokenizer.encode("Action: ", add_special_tokens=False).ids),
        end_id=end[-1] if end else -1,
        action_end=VOCABULARY - 1 - number("fast_skip_tokens", 128),
        openpi=deployment.openpi,
        black_images=deployment.black_places,
        fast=fast,
    )
    faults = camera_faults(deployment, settings)
    if deployment.chunk not in (1, config.chunk):
        faults.append(f"chunk = {deployment.chunk}, {CONFIG} has chunk_size = {config.chunk}")
    if settings.get("use_relative_actions"):
        faults.append(f"{CONFIG}: use_relative_actions is not supported")
    if paligemma.text_config.vocab_size < VOCABULARY:
        faults.append(f"the model has {paligemma.text_config.vocab_size} tokens, PaliGemma has {VOCABULARY}")
    if len(end) != 1 or not config.intro:
        faults.append(f"text_tokenizer = {deployment.text_tokenizer!r} makes {end} of '|', must make one token")
    if fast.vocabulary > config.action_end:
        faults.append(f"the FAST tokenizer's {fast.vocabulary} tokens do not fit below {config.action_end}")
    if faults:
        raise CheckpointError(f"{folder / DEPLOYMENT}: {'; '.join(faults)}")
    return config
