"""The checkpoint folder of a small VLA: weights, config, tokenizer, statistics, and a manifest with their hashes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import nn

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.checkpoints.statistics import DatasetStatistics, read_statistics
from apo_vla.checkpoints.types import (
    CONFIG,
    MANIFEST,
    STATISTICS,
    TOKENIZER,
    WEIGHTS,
    Checkpoint,
    load_weights,
    read_manifest,
    write_manifest,
)
from apo_vla.families.small_vla.int8_weights import from_int8, to_int8
from apo_vla.families.small_vla.model import SmallVla, SmallVlaConfig
from apo_vla.families.small_vla.shape import SmallShape
from apo_vla.inputs.text_tokenizer import read_tokenizer
from apo_vla.model import VlaModel
from apo_vla.precision import convert


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    tokenizer: Tokenizer,
    statistics: DatasetStatistics,
    facts: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Writes a checkpoint folder; the manifest, with the hashes, comes last.

    Args:
        folder: made when missing; files of an earlier checkpoint are replaced.
        model: of a small family, without an adapter attached.
        tokenizer: of its prompts.
        statistics: of its training data.
        facts: JSON-serialisable, how it was made and what was measured; goes into the manifest.
        dtype: of the weights in the file; torch.int8 stores matrices and kernels as in `int8_weights`.

    Raises:
        ValueError: an adapter is attached, or a weight does not fit into dtype.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if any("lora_" in name for name in state):
        raise ValueError("save_checkpoint takes the base model: its adapter belongs into an adapter store")
    rounded = torch.float16 if dtype == torch.int8 else dtype
    weights = {name: value.to(rounded).contiguous() for name, value in state.items()}
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise ValueError(f"weights {bad} are not finite in {rounded}")
    if dtype == torch.int8:
        weights = to_int8(state)
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))
    (folder / CONFIG).write_text(json.dumps(cast(SmallShape, model.config).to_dict(), indent=2) + "\n")
    (folder / TOKENIZER).write_text(tokenizer.to_str(pretty=True) + "\n")
    (folder / STATISTICS).write_text(statistics.to_json() + "\n")
    write_manifest(folder, facts)


def load_small(
    folder: Path,
    dtype: torch.dtype | None,
    shape: type[SmallShape] = SmallVlaConfig,
    kind: Callable[[Any], nn.Module] = SmallVla,
) -> Checkpoint:
    """Reads and verifies a checkpoint folder, to the CPU.

    Args:
        folder: of the checkpoint.
        dtype: of the weights in memory; None: float32.
        shape, kind: classes of its configuration and its model.

    Raises:
        CheckpointError: files missing, changed or unreadable, or that do not fit each other; names them.
    """
    manifest = read_manifest(folder)
    statistics = read_statistics(folder / STATISTICS)
    config = _read_config(folder / CONFIG, shape)
    tokenizer = read_tokenizer(folder / TOKENIZER)
    weights = _read_weights(folder / WEIGHTS)
    faults = []
    if tuple(statistics.state_mean) != config.state_keys or statistics.state_size != config.state_size:
        faults.append(f"{STATISTICS} has state {tuple(statistics.state_mean)}, {CONFIG} {config.state_keys}")
    if len(statistics.action_q01) != config.action_size:
        faults.append(f"{STATISTICS} has {len(statistics.action_q01)} actions, {CONFIG} {config.action_size}")
    if tokenizer.get_vocab_size() > config.prompt_vocabulary:
        faults.append(f"{TOKENIZER} has {tokenizer.get_vocab_size()} tokens, {CONFIG} {config.prompt_vocabulary}")
    if faults:
        raise CheckpointError(f"{folder}: {'; '.join(faults)}")
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are overwritten
        model = kind(config)
    load_weights(model, weights, str(folder / WEIGHTS))
    model.eval()
    convert(model, dtype or torch.float32)
    sha256 = manifest["sha256"]
    return Checkpoint(cast(VlaModel, model), tokenizer, statistics, sha256[WEIGHTS], sha256[STATISTICS], manifest)


def _read_config(path: Path, shape: type[SmallShape]) -> SmallShape:
    try:
        return shape.from_dict(json.loads(path.read_text()), str(path))
    except (OSError, ValueError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return from_int8(load_file(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
