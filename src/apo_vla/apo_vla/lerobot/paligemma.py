"""PaliGemma as LeRobot saves it: its sizes, read from the tensors, and the names of transformers' own class."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from transformers import GemmaConfig, PaliGemmaConfig

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.weight_files import WeightFiles

VOCABULARY = 257152  # of PaliGemma's tokenizer
PREFIX = re.compile(r"^(model\.)?paligemma_with_expert\.paligemma\.")
_TEXT, _VISION = "model.language_model.", "model.vision_tower.vision_model."
_HEAD, _EMBEDDING = "lm_head.weight", "language_model.embed_tokens.weight"
_VISION_HEADS, _KEY_VALUE_HEADS = 16, 1  # of SigLIP so400m, and of both Gemma variants


def paligemma_config(weights: WeightFiles, title: str) -> PaliGemmaConfig:
    """Sizes of a PaliGemma.

    Args:
        weights: of a checkpoint.
        title: of its family, for messages.

    Raises:
        CheckpointError: a tensor that shows a size is missing.
    """
    shapes = {PREFIX.sub("", name): shape for name, shape in weights.shapes.items()}
    try:
        vocabulary, hidden = shapes.get(_HEAD) or shapes[f"{_TEXT}embed_tokens.weight"]
        text = {"model_type": "gemma", "vocab_size": vocabulary, "hidden_size": hidden, **_gemma(shapes, _TEXT)}
        width, _, patch, _ = shapes[f"{_VISION}embeddings.patch_embedding.weight"]
        patches = shapes[f"{_VISION}embeddings.position_embedding.weight"][0]
        vision = {
            "model_type": "siglip_vision_model",
            "hidden_size": width,
            "intermediate_size": shapes[f"{_VISION}encoder.layers.0.mlp.fc1.weight"][0],
            "num_hidden_layers": count_layers(shapes, f"{_VISION}encoder.layers."),
            "num_attention_heads": _VISION_HEADS,
            "image_size": math.isqrt(patches) * patch,
            "patch_size": patch,
            "projection_dim": hidden,
            "vision_use_head": False,
        }
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{weights.source}: is no {title} in LeRobot's layout, lacks {error}") from None
    return PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=hidden)


def gemma_config(weights: WeightFiles, prefix: str, title: str) -> GemmaConfig:
    """Sizes of a Gemma without an embedding, whose tensors' names begin with `prefix`; see `paligemma_config`."""
    try:
        hidden = weights.shapes[f"{prefix}layers.0.self_attn.q_proj.weight"][1]
        sizes = _gemma(weights.shapes, prefix)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{weights.source}: is no {title} in LeRobot's layout, lacks {error}") from None
    return GemmaConfig(vocab_size=1, hidden_size=hidden, bos_token_id=None, eos_token_id=None, **sizes)


def count_layers(shapes: Collection[str], prefix: str) -> int:
    """Number of layers whose tensors' names begin with `prefix`. Raises ValueError: there are none."""
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in shapes if name.startswith(prefix))


def has_own_head(weights: WeightFiles) -> bool:
    """Whether the head is another matrix than the embedding: LeRobot saves both, and may train them apart."""
    names = {PREFIX.sub("", name): name for name in weights.shapes}
    head, embedding = names.get(_HEAD), names.get(f"model.{_EMBEDDING}")
    return head is not None and embedding is not None and not weights.equal(head, embedding)


def paligemma_renamer(
    ours: Collection[str], names: Collection[str], head: str | None = None
) -> Callable[[str], str | None]:
    """Names in the file -> those of a module `paligemma` of transformers; others stay.

    Args:
        ours: parameters of the model.
        names: in the file.
        head: parameter for a head of its own; None: the head is the embedding, or not needed.
    """
    nested = any(name.startswith("paligemma.vision_tower.vision_model.") for name in ours)
    embedded = any(PREFIX.sub("", name) == f"model.{_EMBEDDING}" for name in names)

    def rename(name: str) -> str | None:
        inner = PREFIX.sub("", name)
        if inner == name:
            return name
        if inner == _HEAD:
            if head is not None:
                return head
            return None if embedded else f"paligemma.{_EMBEDDING}"  # safetensors keeps one name of a tied matrix
        inner = inner.removeprefix("model.")
        if not nested:
            inner = inner.replace("vision_tower.vision_model.", "vision_tower.")
        return f"paligemma.{inner}"

    return rename


def _gemma(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, Any]:
    head = shapes[f"{prefix}layers.0.self_attn.k_proj.weight"][0] // _KEY_VALUE_HEADS
    return {
        "intermediate_size": shapes[f"{prefix}layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": count_layers(shapes, f"{prefix}layers."),
        "num_attention_heads": shapes[f"{prefix}layers.0.self_attn.q_proj.weight"][0] // head,
        "num_key_value_heads": _KEY_VALUE_HEADS,
        "head_dim": head,
        "hidden_activation": "gelu_pytorch_tanh",
    }
