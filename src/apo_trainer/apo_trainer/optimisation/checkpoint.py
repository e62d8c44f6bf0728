"""What an interrupted run needs to go on exactly: adapter, optimizer, step and the guard's window, in one file.

Batches, views, mismatched actions and dropout follow from the seed and the step's number, and need no state.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from apo_core.errors import ApoError
from apo_core.system.atomic_files import replace_file
from apo_trainer.optimisation.optimizers import state_names


class ResumeError(ApoError):
    """A run cannot go on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is."""

    step: int  # optimizer steps done
    recent: tuple[float, ...]  # last undesirable log-ratios, nats
    recent_kl: tuple[float, ...]  # last z0, nats
    facts: Mapping[str, str]  # hashes of what the run depends on; a run goes on only with the same
    best_step: int = 0  # of the best weights; 0: none were measured
    best_error: float = math.inf


def save_progress(
    path: Path,
    progress: Progress,
    parameters: Mapping[str, nn.Parameter],
    means: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Replaces the file as a whole; a crash leaves the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    tensors: dict[str, Tensor] = {f"mean.{name}": value for name, value in means.items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for name, parameter in parameters.items():
        tensors[f"parameter.{name}"] = parameter.detach()
        tensors |= {f"{key}.{name}": value for key, value in optimizer.state[parameter].items()}
    metadata = {
        "step": str(progress.step),
        "recent": json.dumps(progress.recent),
        "recent_kl": json.dumps(progress.recent_kl),
        "facts": json.dumps(progress.facts),
        "best": json.dumps([progress.best_step, progress.best_error]),
    }
    replace_file(path, save({name: value.cpu().contiguous() for name, value in tensors.items()}, metadata))


def load_progress(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    means: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    facts: Mapping[str, str],
) -> tuple[Progress, dict[str, Tensor]]:
    """Sets parameters and optimizer to what they were; returns the best weights so far too, empty without any.

    Args:
        path: of `save_progress`.
        parameters: of the same adapter.
        means: of `WeightMean`, set like the parameters.
        optimizer: of these parameters, unused so far.
        facts: of the run as it is now.

    Raises:
        ResumeError: not such a file, or of another adapter, or something that the run depends on has changed.
    """
    try:
        content = path.read_bytes()
        tensors, metadata = load(content), _metadata(content)
        recent, recent_kl = (tuple(json.loads(metadata[name])) for name in ("recent", "recent_kl"))
        best_step, best_error = json.loads(metadata["best"])
        facts_then = json.loads(metadata["facts"])
        progress = Progress(int(metadata["step"]), recent, recent_kl, facts_then, best_step, best_error)
    except (OSError, SafetensorError, ValueError, KeyError, struct.error) as error:
        raise ResumeError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
    changed = [name for name in facts if progress.facts.get(name) != facts[name]]
    if changed:
        raise ResumeError(f"{path}: {', '.join(changed)} changed since; start a new run instead of resuming this one")
    state = state_names(optimizer)
    # the optimizer has no state of what no step has trained yet
    moved = [name for name in parameters if any(f"{key}.{name}" in tensors for key in state)]
    wanted = {f"parameter.{name}" for name in parameters} | {f"{key}.{name}" for key in state for name in moved}
    wanted |= {f"mean.{name}" for name in means}
    wanted |= {f"best.{name}" for name in parameters if progress.best_step}
    if wanted != set(tensors):
        raise ResumeError(f"{path}: is of another adapter ({sorted(wanted ^ set(tensors))[:3]})")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter.{name}"])
        for name, mean in means.items():
            mean.copy_(tensors[f"mean.{name}"])
    numbers = {name: i for i, name in enumerate(parameters)}
    state_of = {numbers[name]: {key: tensors[f"{key}.{name}"] for key in state} for name in moved}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state_of})
    return progress, {name: tensors[f"best.{name}"] for name in parameters if progress.best_step}


def _metadata(content: bytes) -> dict[str, str]:
    """Text of a safetensors file's header."""
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size])["__metadata__"]
