"""Behaviour cloning of a whole small policy from demonstrations.

The loss is the cross-entropy of the expert's action tokens, or the flow-matching error of the expert's actions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch

from apo_core.actions import normalised_dimensions
from apo_core.errors import ConfigError
from apo_core.types import StepLabel
from apo_episodes.episode import Episode
from apo_experiments.base_policy.optimizer import Optimizer, OptimizerSettings, shuffled_batches
from apo_trainer.data.episode_data import chunk_rows, disturbed_steps
from apo_trainer.data.prefix_noise import PrefixNoise
from apo_vla.checkpoints.statistics import DatasetStatistics, compute_statistics
from apo_vla.families.small_vla.flow import SmallFlow, SmallFlowConfig
from apo_vla.families.small_vla.model import SmallVla, SmallVlaConfig
from apo_vla.families.small_vla.shape import SmallShape
from apo_vla.inputs.prompt import build_tokenizer
from apo_vla.likelihood.action_tolerance import ActionScores, action_scores
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Pass, Targets
from apo_vla.model import TokenModel
from apo_vla.policy import Prepared, VlaPolicy

IGNORED = -100  # target of a token without a label


@dataclass(frozen=True, slots=True)
class CloningSettings:
    """How to train."""

    optimizer: OptimizerSettings
    evaluate_every: int = 0  # steps between measurements of the held-out loss; 0: none
    train_vision: bool = True  # False leaves the image encoders as they are
    prefix_noise: float = 0.0  # share of random tokens before a predicted one
    prefix_jitter: float = 0.0  # spread of the noise on the others, bins
    action_tolerance: float = 0.0  # bins off at which an action counts 0.6 of the expert's
    flow_draws: int = 4  # flow head: draws of noise and time for each frame of a batch


@dataclass(frozen=True)
class CloningCurves:
    """What training measured."""

    losses: tuple[float, ...]  # nats a token, or squared velocity error a number, of each step
    held_out: tuple[tuple[int, float], ...] = ()  # (steps done, the same) on demonstrations not trained on

    def converged(self, share: float = 0.2, least: float = 0.01) -> bool:
        """Whether the held-out loss has stopped falling.

        It has where the last `share` of the run lowered its minimum by less than the part `least` of it.
        """
        if len(self.held_out) < 2:
            return False
        begin = self.held_out[-1][0] * (1.0 - share)
        before = [loss for step, loss in self.held_out if step <= begin]
        after = [loss for step, loss in self.held_out if step > begin]
        return bool(before and after) and min(after) > min(before) * (1.0 - least)


@dataclass(frozen=True)
class Demonstrations:
    """Frames of all episodes in one sequence; N frames."""

    images: dict[str, np.ndarray]  # {camera: uint8 (N, H, W, 3)}
    states: dict[str, np.ndarray]  # {state key: float32 (N, n)}
    actions: np.ndarray  # float32 (N, A): the expert's choice
    instructions: tuple[str, ...]  # (N,)
    rows: np.ndarray  # int64 (N,): rows of a chunk starting here that have a label, at least 1

    @property
    def num_frames(self) -> int:
        return len(self.actions)


def join_demonstrations(
    episodes: Sequence[Episode], cameras: Sequence[str], state_keys: Sequence[str], chunk: int
) -> Demonstrations:
    """Joins episodes.

    Chunks are cut as in `chunk_rows`.

    Raises:
        ConfigError: no episode, or one with steps that no expert labelled.
    """
    faults = [f"{e.path} has steps without an expert's action" for e in episodes if np.isnan(e.human_actions).any()]
    if faults or not episodes:
        raise ConfigError("demonstrations", faults or ["there are none"])
    rows = []
    for episode in episodes:
        labels = [StepLabel.CORRECTED] * episode.num_steps  # the expert chose every step
        rows.append(chunk_rows(labels, episode.ticks, disturbed_steps(episode), chunk))
    return Demonstrations(
        images={name: np.concatenate([e.images[name] for e in episodes]) for name in cameras},
        states={key: np.concatenate([e.state[key] for e in episodes]) for key in state_keys},
        actions=np.concatenate([e.human_actions for e in episodes]),
        instructions=tuple(e.info.instruction for e in episodes for _ in range(e.num_steps)),
        rows=np.concatenate(rows),
    )


def statistics_of(data: Demonstrations, contract_sha256: str) -> DatasetStatistics:
    """Action ranges and state moments; the gripper passes through."""
    mask = normalised_dimensions(data.actions.shape[1])
    return compute_statistics(data.actions, data.states, mask, contract_sha256)


def new_policy(
    config: SmallShape, data: Demonstrations, contract_sha256: str, seed: int, device: str = "cpu"
) -> VlaPolicy:
    """An untrained policy for this data; `seed` fixes its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallFlow(config) if isinstance(config, SmallFlowConfig) else SmallVla(cast(SmallVlaConfig, config))
    return VlaPolicy(
        model, build_tokenizer(set(data.instructions)), statistics_of(data, contract_sha256), device=device
    )


def small_model(policy: VlaPolicy) -> SmallVla | SmallFlow:
    """The model of a small policy without an adapter. Raises TypeError for another family."""
    if not isinstance(policy.model, SmallVla | SmallFlow):
        raise TypeError(f"the policy's model is a {type(policy.model).__name__}, must be a SmallVla or a SmallFlow")
    return policy.model


def targets(policy: VlaPolicy, data: Demonstrations, indices: np.ndarray) -> np.ndarray:
    """Bins to predict at each index, int64 (B, chunk * A), IGNORED where the chunk has no label."""
    chunk = policy.chunk
    offsets = np.arange(chunk)
    frames = np.minimum(indices[:, None] + offsets, data.num_frames - 1)
    bins = policy.codec.encode(data.actions[frames])
    bins[offsets >= data.rows[indices][:, None]] = IGNORED
    return bins.reshape(len(indices), -1)


def cloning_loss(
    policy: VlaPolicy,
    data: Demonstrations,
    indices: np.ndarray,
    rng: np.random.Generator | None,
    scores: ActionScores | None = None,
    noisy: Callable[[np.ndarray], np.ndarray] | None = None,
) -> torch.Tensor:
    """Mean cross-entropy [nats a token] of the expert's chunks at `indices`.

    Args:
        policy: the model.
        data: what to imitate.
        indices: frames (B,).
        rng: of the augmentation; None takes plain views.
        scores: what counts as the expert's action; the policy's own if None.
        noisy: takes the expert's tokens int64 (B, L) and returns those that the next ones are predicted from.
    """
    batch = _observations(policy, data, indices, rng)
    wanted = targets(policy, data, indices)
    tokens = wanted.clip(min=0)
    context = torch.from_numpy(noisy(tokens) if noisy else tokens).to(policy.device)
    features = policy.model.features(batch.images, batch.state)
    logits = cast(TokenModel, policy.model).action_logits(features, batch.prompt_ids, context)
    log_probs = (scores or policy.classes).log_probs(logits, torch.from_numpy(tokens).to(policy.device))
    return -log_probs[torch.from_numpy(wanted != IGNORED).to(policy.device)].mean()


def flow_error(
    policy: VlaPolicy,
    data: Demonstrations,
    indices: np.ndarray,
    rng: np.random.Generator | None,
    seed: int,
    draws: int,
) -> torch.Tensor:
    """Mean squared velocity error a number of the expert's chunks at `indices`; see `apo_vla.likelihood.flow`.

    Args:
        policy: with a flow head.
        data, indices, rng: see `cloning_loss`.
        seed: of noise and time.
        draws: of noise and time for each frame.
    """
    batch, device = _observations(policy, data, indices, rng), policy.device
    likelihood = policy.likelihood(LikelihoodSettings(flow_draws=draws, flow_scale=1.0))
    offsets = np.arange(policy.chunk)
    rows = data.rows[indices][:, None]
    chunks = data.actions[indices[:, None] + np.minimum(offsets, rows - 1)]
    encoded = likelihood.encode(chunks, offsets < rows, [None] * len(indices))
    seeds = np.random.default_rng(seed).integers(2**62, size=len(indices))
    outputs, mask = torch.from_numpy(encoded.outputs).to(device), torch.from_numpy(encoded.mask).to(device)
    wanted = Targets(outputs, mask, outputs, mask, torch.from_numpy(seeds).to(device))
    seen = Pass(policy.model.features(batch.images, batch.state), batch.prompt_ids)
    return -likelihood.scores(policy.model, seen, wanted).logps.sum() / mask.sum()


def _observations(
    policy: VlaPolicy, data: Demonstrations, indices: np.ndarray, rng: np.random.Generator | None
) -> Prepared:
    return policy.prepare(
        [{name: frames[i] for name, frames in data.images.items()} for i in indices],
        [{key: values[i] for key, values in data.states.items()} for i in indices],
        [data.instructions[i] for i in indices],
        rng,
    )


def train(
    policy: VlaPolicy,
    data: Demonstrations,
    settings: CloningSettings,
    progress: Callable[[int, float, float], None] | None = None,
    held_out: Demonstrations | None = None,
) -> CloningCurves:
    """Trains `policy.model` in place; the same seed and thread count give the same weights.

    Args:
        policy: without an adapter.
        data: what to imitate.
        settings: how.
        progress: takes steps done, loss, seconds spent.
        held_out: demonstrations that are only measured, every `settings.evaluate_every` steps.

    Raises:
        ArithmeticError: the loss is not finite.
    """
    shared = settings.optimizer
    model, rng = small_model(policy), np.random.default_rng(shared.seed)
    for parameter in model.image_encoders.parameters():
        parameter.requires_grad_(settings.train_vision)
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim >= 2]
    plain = [p for p in trained if p.ndim < 2]
    optimizer = Optimizer([{"params": decayed}, {"params": plain, "weight_decay": 0.0}], shared)
    scores = action_scores(policy.codec, settings.action_tolerance, policy.device)
    noise = PrefixNoise(settings.prefix_noise, settings.prefix_jitter, policy.codec.bins, shared.seed)
    model.train()
    losses, curve, started = [], [], time.monotonic()
    for step, indices in enumerate(shuffled_batches(np.arange(data.num_frames), shared, rng)):
        if isinstance(model, SmallFlow):
            loss = flow_error(policy, data, indices, rng, _drawn(shared.seed, step), settings.flow_draws)
        else:
            loss = cloning_loss(policy, data, indices, rng, scores, partial(noise.apply, step=step))
        optimizer.step(loss)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ArithmeticError(
                f"loss is {losses[-1]} at step {step}: lower learning_rate = {shared.learning_rate} "
                "(config/base_policy.yaml)"
            )
        if held_out is not None and settings.evaluate_every and (step + 1) % settings.evaluate_every == 0:
            curve.append((step + 1, held_out_loss(policy, held_out, scores, draws=settings.flow_draws)))
        if progress is not None:
            progress(step + 1, losses[-1], time.monotonic() - started)
    model.eval()
    for parameter in model.image_encoders.parameters():
        parameter.requires_grad_(True)
    return CloningCurves(tuple(losses), tuple(curve))


def _drawn(seed: int, step: int) -> int:
    """Seed of the draws of a step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def held_out_loss(
    policy: VlaPolicy,
    data: Demonstrations,
    scores: ActionScores | None = None,
    batch_size: int = 64,
    draws: int = 4,
) -> float:
    """Mean loss of all chunks of `data`, plain views, without gradient; see `cloning_loss` and `flow_error`."""
    model = small_model(policy)
    training, total, count = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for first in range(0, data.num_frames, batch_size):
            indices = np.arange(first, min(first + batch_size, data.num_frames))
            tokens = int((targets(policy, data, indices) != IGNORED).sum())
            if isinstance(model, SmallFlow):
                loss = flow_error(policy, data, indices, None, first, draws)  # the same draws in every measurement
            else:
                loss = cloning_loss(policy, data, indices, None, scores)
            total += tokens * loss.item()
            count += tokens
    model.train(training)
    return total / count
