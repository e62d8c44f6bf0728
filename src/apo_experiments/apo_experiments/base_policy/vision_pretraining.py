"""Trains a small VLA's vision before its policy: where the hand has to go in pictures of random scenes.

A published VLA comes with vision that was trained on millions of pictures, and is fine-tuned on few demonstrations. The
small one is given the same start: its image encoders learn from which tokens the way to the object can be read by a
linear layer, which is thrown away afterwards.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apo_core.errors import ConfigError
from apo_core.system.atomic_files import replacing
from apo_experiments.base_policy.behaviour_cloning import small_model
from apo_experiments.base_policy.optimizer import Optimizer, OptimizerSettings, shuffled_batches
from apo_vla.policy import VlaPolicy

if TYPE_CHECKING:
    from apo_sim_bridge.demonstrations.scene_views import SceneViews

_INSTRUCTION = "look"  # vision reads no instruction, but an observation has one
_VALUES = 9  # of each part of a task in `SceneViews.targets`
_HELD_OUT_EVERY = 10  # scenes
FEWEST_SCENES = _HELD_OUT_EVERY  # with fewer none would be held out
_BETA = 0.1  # of the smooth L1 loss: of positions in `SceneViews.position_unit`, and of the yaw's cosine and sine
_HELD_WEIGHT = 0.3  # of the loss of whether the object is held
_VISION_SHAPE = ("cameras", "image_size", "image_tokens", "hidden")
_POSITION_WEIGHT = 6.0
_YAW_WEIGHT = 4.0  # with 1 and a quadratic loss, vision learned no yaw at all


@dataclass(frozen=True, slots=True)
class VisionErrors:
    """Median errors on scenes that were not trained on."""

    frames: int
    sideways_mm: float  # of the ways to the grasps, horizontally
    height_mm: float
    yaw_deg: float  # of the grasp


def pretrain_vision(
    policy: VlaPolicy,
    views: SceneViews,
    settings: OptimizerSettings,
    symmetries: Sequence[float],
    progress: Callable[[int, float, float], None] | None = None,
) -> VisionErrors:
    """Trains the image encoders of `policy.model` in place; the same seed and thread count give the same weights.

    Args:
        policy: a small VLA without an adapter.
        views: of its cameras and state.
        settings: how.
        symmetries: rad of yaw after which the grasp repeats, of each part of the task.
        progress: takes steps done, loss, seconds spent.

    Raises:
        ArithmeticError: the loss is not finite.
    """
    model, rng, size = small_model(policy), np.random.default_rng(settings.seed), views.targets.shape[1]
    config = model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = nn.Linear((config.feature_tokens - 1) * config.hidden + config.state_size, size)
    parameters = [*model.image_encoders.parameters(), *head.parameters()]
    optimizer = Optimizer([{"params": parameters}], settings)
    names = np.unique(views.scenes)
    held_out = np.isin(views.scenes, names[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY])
    train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    started = time.monotonic()
    model.train()
    for step, indices in enumerate(shuffled_batches(train, settings, rng)):
        loss = _loss(_predict(policy, head, views, indices, rng), torch.from_numpy(views.targets[indices]))
        optimizer.step(loss)
        if not math.isfinite(loss.item()):
            raise ArithmeticError(
                f"loss of vision is {loss.item()} at step {step}: lower vision_learning_rate = "
                f"{settings.learning_rate} (config/base_policy.yaml)"
            )
        if progress is not None:
            progress(step + 1, loss.item(), time.monotonic() - started)
    model.eval()
    return _errors(policy, head, views, test, symmetries)


def keep_vision(path: Path, policy: VlaPolicy, errors: VisionErrors, made_from: Mapping[str, Any]) -> None:
    """Writes trained image encoders.

    Args:
        path: safetensors file.
        policy: whose.
        errors: of `pretrain_vision`.
        made_from: JSON-serialisable, all that they depend on.

    Raises:
        OSError: the file cannot be written.
    """
    texts = {"made_from": json.dumps(made_from, sort_keys=True), "errors": json.dumps(asdict(errors))}
    tensors = {name: value.contiguous() for name, value in small_model(policy).image_encoders.state_dict().items()}
    with replacing(path) as file:
        file.write(safetensors.torch.save(tensors, texts))


def kept_vision(path: Path, policy: VlaPolicy, made_from: Mapping[str, Any]) -> VisionErrors | None:
    """Gives a policy the image encoders of a file; None where it has none that are made from just that."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            texts = file.metadata() or {}
            if texts.get("made_from") != json.dumps(made_from, sort_keys=True):
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        small_model(policy).image_encoders.load_state_dict(tensors)
        return VisionErrors(**json.loads(texts["errors"]))
    except (OSError, safetensors.SafetensorError):
        return None


def copy_vision(policy: VlaPolicy, folder: Path | str) -> None:
    """Gives a small policy the image encoders of a checkpoint, in place.

    Args:
        policy: without an adapter.
        folder: a checkpoint of a small policy, whatever its action head.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: its cameras or its image tokens have another shape.
    """
    model, source = small_model(policy), small_model(VlaPolicy.load(folder, lora=None))
    faults = [
        f"{name} = {wanted!r}, and {folder} has {found!r}"
        for name in _VISION_SHAPE
        if (wanted := getattr(model.config, name)) != (found := getattr(source.config, name))
    ]
    if faults:
        raise ConfigError("vision_from (config/base_policy.yaml)", faults)
    model.image_encoders.load_state_dict(source.image_encoders.state_dict())


def _predict(
    policy: VlaPolicy, head: nn.Linear, views: SceneViews, indices: np.ndarray, rng: np.random.Generator | None
) -> Tensor:
    """Targets (B, 9 P) as the head reads them from the tokens of all cameras and the state; `rng` augments."""
    batch = policy.prepare(
        [{name: images[i] for name, images in views.images.items()} for i in indices],
        [{key: values[i] for key, values in views.states.items()} for i in indices],
        _INSTRUCTION,
        rng,
    )
    model = small_model(policy)
    tokens = [model.camera_tokens(i, batch.images[:, i]) for i in range(batch.images.shape[1])]
    return head(torch.cat([*(part.flatten(1) for part in tokens), batch.state], dim=1))


def _loss(found: Tensor, wanted: Tensor) -> Tensor:
    found, wanted = found.reshape(-1, _VALUES), wanted.reshape(-1, _VALUES)  # a row for each part
    ways = F.smooth_l1_loss(found[:, :6], wanted[:, :6], beta=_BETA)
    yaw = F.smooth_l1_loss(found[:, 6:8], wanted[:, 6:8], beta=_BETA)
    held = F.binary_cross_entropy_with_logits(found[:, 8], wanted[:, 8])
    return _POSITION_WEIGHT * ways + _YAW_WEIGHT * yaw + _HELD_WEIGHT * held


def _errors(
    policy: VlaPolicy, head: nn.Linear, views: SceneViews, indices: np.ndarray, symmetries: Sequence[float]
) -> VisionErrors:
    with torch.no_grad():
        parts = [_predict(policy, head, views, indices[i : i + 64], None) for i in range(0, len(indices), 64)]
    shape = (len(indices), len(symmetries), _VALUES)
    found, wanted = torch.cat(parts).numpy().reshape(shape), views.targets[indices].reshape(shape)
    ways = np.abs(found[..., :3] - wanted[..., :3]) * views.position_unit * 1e3
    angles = np.arctan2(found[..., 7], found[..., 6]) - np.arctan2(wanted[..., 7], wanted[..., 6])
    turns = np.angle(np.exp(1j * angles)) * np.asarray(symmetries) / (2 * np.pi)
    return VisionErrors(
        frames=len(indices),
        sideways_mm=float(np.median(np.hypot(ways[..., 0], ways[..., 1]))),
        height_mm=float(np.median(ways[..., 2])),
        yaw_deg=float(np.median(np.degrees(np.abs(turns)))),
    )
