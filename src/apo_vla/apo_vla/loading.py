"""The folder of a policy checkpoint: weights, config, tokenizer, statistics, and a manifest with the hash of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import nn

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.checkpoints.deployment import Deployment
from apo_vla.checkpoints.statistics import DatasetStatistics, read_statistics
from apo_vla.checkpoints.weight_files import file_sha256
from apo_vla.families.small_vla.model import FAMILY, SmallVla, SmallVlaConfig
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
    manifest: Mapping[str, Any]  # facts of the one who made it; empty for a published checkpoint


def save_checkpoint(
    folder: Path,
    model: SmallVla,
    tokenizer: Tokenizer,
    statistics: DatasetStatistics,
    facts: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Writes a checkpoint folder; the manifest, with the hashes, comes last.

    Args:
        folder: made when missing; files of an earlier checkpoint are replaced.
        model: without an adapter attached.
        tokenizer: of its prompts.
        statistics: of its training data.
        facts: JSON-serialisable, how it was made and what was measured; goes into the manifest.
        dtype: of floating-point weights in the file.

    Raises:
        ValueError: an adapter is attached, or a weight does not fit into dtype.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if any("lora_" in name for name in state):
        raise ValueError("save_checkpoint takes the base model: its adapter belongs into an adapter store")
    weights = {name: value.to(dtype).contiguous() for name, value in state.items()}
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise ValueError(f"weights {bad} are not finite in {dtype}")
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))
    (folder / CONFIG).write_text(json.dumps(model.config.to_dict(), indent=2) + "\n")
    (folder / TOKENIZER).write_text(tokenizer.to_str(pretty=True) + "\n")
    (folder / STATISTICS).write_text(statistics.to_json() + "\n")
    write_manifest(folder, facts)


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


def read_family(folder: Path) -> str:
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
            read_manifest(path.parent)  # says which files differ from the ones that were written
        hint = "" if path.exists() else "; docs/how-to/checkpoints.md says how to bring a checkpoint"
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error}){hint}") from None
    except StopIteration:
        raise CheckpointError(f"{path}: names no family (family, model_type or type)") from None
    return str(family)


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
    """
    folder = Path(folder)
    family = read_family(folder)
    if family == FAMILY:
        checkpoint = _load_small_vla(folder)
        checkpoint.model.to(dtype or torch.float32)
        return checkpoint
    if family == "openvla":
        from apo_vla.families.openvla.checkpoint import load_openvla

        return load_openvla(folder, device, dtype, deployment)
    if family == "pi0_fast":
        from apo_vla.families.pi0_fast.checkpoint import load_pi0_fast

        return load_pi0_fast(folder, device, dtype, deployment)
    raise CheckpointError(f"{folder / CONFIG}: unknown family {family!r}; known: {FAMILY}, openvla, pi0_fast")


def _load_small_vla(folder: Path) -> Checkpoint:
    manifest = read_manifest(folder)
    statistics = read_statistics(folder / STATISTICS)
    try:
        config = SmallVlaConfig.from_dict(json.loads((folder / CONFIG).read_text()), str(folder / CONFIG))
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        weights = load_file(folder / WEIGHTS)
    except CheckpointError:
        raise
    except (ConfigError, SafetensorError, Exception) as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"{folder}: cannot be read ({type(error).__name__}: {error})") from None
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
        model = SmallVla(config)
    load_weights(model, weights, str(folder / WEIGHTS))
    sha256 = manifest["sha256"]
    return Checkpoint(model.eval(), tokenizer, statistics, sha256[WEIGHTS], sha256[STATISTICS], manifest)


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Copies `weights` into the model's own precision; names and shapes must agree exactly.

    Raises:
        CheckpointError: lists missing, unknown and misshapen names; the model is then as it was.
    """
    want = model.state_dict()
    faults = [f"'{name}' is missing" for name in want if name not in weights]
    faults += [f"'{name}' is unknown" for name in weights if name not in want]
    faults += [
        f"'{name}' has shape {tuple(weights[name].shape)}, config.json says {tuple(value.shape)}"
        for name, value in want.items()
        if name in weights and weights[name].shape != value.shape
    ]
    faults += [f"'{name}' is not finite" for name, value in weights.items() if not torch.isfinite(value).all()]
    if faults:
        raise CheckpointError(f"{source}: {'; '.join(faults)}")
    model.load_state_dict(dict(weights), strict=True)
