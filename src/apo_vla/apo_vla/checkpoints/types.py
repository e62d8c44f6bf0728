"""A checkpoint in memory, its files, and the manifest that holds the hash of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.weight_files import file_sha256
from apo_vla.model import Statistics, VlaModel

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
STATISTICS, MANIFEST = "dataset_statistics.json", "manifest.json"
HASHED_FILES = (WEIGHTS, CONFIG, TOKENIZER, STATISTICS)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory."""

    model: VlaModel  # in eval mode
    tokenizer: Tokenizer
    statistics: Statistics
    base_sha256: str  # of the weights
    statistics_sha256: str  # of what normalises actions and state
    manifest: Mapping[str, Any]  # how it was made and measured; empty for a published checkpoint


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes manifest.json: `facts`, and the hashes of the files as they are now."""
    folder = Path(folder)
    sha256 = {name: file_sha256(folder / name) for name in HASHED_FILES}
    (folder / MANIFEST).write_text(json.dumps({**facts, "sha256": sha256}, indent=2) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files match its hashes.

    Raises:
        CheckpointError: a file is missing, or is not the one the manifest was written for.
    """
    folder = Path(folder)
    missing = [name for name in (*HASHED_FILES, MANIFEST) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder}: {', '.join(missing)} missing; `apo base-policy` makes a checkpoint")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        recorded = {name: manifest["sha256"][name] for name in HASHED_FILES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: cannot be read ({type(error).__name__}: {error})") from None
    changed = [name for name in HASHED_FILES if file_sha256(folder / name) != recorded[name]]
    if changed:
        raise CheckpointError(f"{folder}: {', '.join(changed)} differ from sha256 in {MANIFEST}")
    return manifest


def read_family_name(folder: Path) -> str:
    """The family that config.json names: "apo_small_vla", or `model_type` or `type` of a published checkpoint.

    Raises:
        CheckpointError: no readable config.json, or none that names a family.
    """
    path = Path(folder) / CONFIG
    try:
        data = json.loads(path.read_text())
        family = next(data[key] for key in ("family", "model_type", "type") if key in data)
    except (OSError, ValueError, TypeError) as error:
        if (path.parent / MANIFEST).is_file():
            read_manifest(path.parent)  # names the files that differ from those that were written
        hint = "" if path.exists() else "; docs/how-to/checkpoints.md describes how to add a checkpoint"
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error}){hint}") from None
    except StopIteration:
        raise CheckpointError(f"{path}: names no family (family, model_type or type)") from None
    return str(family)


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Copies `weights` into the model's own precision; names and shapes must agree exactly.

    Raises:
        CheckpointError: lists missing, unknown and misshapen names; the model is then as it was.
    """
    want = model.state_dict()
    faults = [f"'{name}' is missing" for name in want if name not in weights]
    faults += [f"'{name}' is unknown" for name in weights if name not in want]
    faults += [
        f"'{name}' has shape {tuple(weights[name].shape)}, config.json has {tuple(value.shape)}"
        for name, value in want.items()
        if name in weights and weights[name].shape != value.shape
    ]
    faults += [f"'{name}' is not finite" for name, value in weights.items() if not torch.isfinite(value).all()]
    if faults:
        raise CheckpointError(f"{source}: {'; '.join(faults)}")
    model.load_state_dict(dict(weights), strict=True)
