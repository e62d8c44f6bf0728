"""Labels an episode and cuts its action chunks. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from apo_core.errors import EpisodeFormatError
from apo_core.types import ROBOT, ControlSource, EpisodeKind, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.labeling import LabelRule
from apo_trainer.data.samples import EpisodeData, SampleClass

_SAME_ACTION = 1e-3  # contract units; a limiter's rounding is no disturbance
_CLASS_OF_LABEL = {
    StepLabel.DESIRABLE: SampleClass.POLICY,
    StepLabel.CORRECTED: SampleClass.HUMAN,
    StepLabel.UNDESIRABLE: SampleClass.UNDESIRABLE,
}


def episode_data(episode: Episode, rule: LabelRule, horizon: int) -> EpisodeData:
    """Labels an episode and cuts its chunks.

    Args:
        episode: read from its file.
        rule: how steps are labelled.
        horizon: rows of the policy's action chunk.

    Raises:
        EpisodeFormatError: no step, or a step driven by a person without a recorded human action.
    """
    if episode.num_steps == 0:
        raise EpisodeFormatError(f"{episode.path}: has no step")
    human = np.array([source == ControlSource.HUMAN for source in episode.sources])
    missing = np.flatnonzero(human & ~np.isfinite(episode.human_actions).all(axis=1))
    if missing.size:
        raise EpisodeFormatError(f"{episode.path}: step {missing[0]} was driven by HUMAN but has no human action")
    labels = episode.labels(rule)
    demonstration = episode.info.kind == EpisodeKind.DEMONSTRATION
    classes = tuple(
        None if label == StepLabel.UNUSED else SampleClass.EXPERT if demonstration else _CLASS_OF_LABEL[label]
        for label in labels
    )
    return EpisodeData(
        path=episode.path,
        episode_id=episode.info.episode_id,
        fingerprint=fingerprint(episode),
        kind=episode.info.kind,
        instruction=episode.info.instruction,
        state=episode.state,
        stamps_ns=episode.stamps_ns["observation"],
        targets=_targets(episode, human),
        policy_actions=episode.policy_actions.astype(np.float32),
        classes=classes,
        adapter_versions=episode.adapter_versions,
        rows=chunk_rows(labels, episode.ticks, disturbed_steps(episode), horizon),
        policy_tokens=episode.policy_tokens,
        outcome=episode.outcome.outcome,
        robot=episode.info.tags.get(ROBOT, ""),
    )


def disturbed_steps(episode: Episode) -> np.ndarray:
    """Steps driven by a person whose executed action differs from the person's by more than rounding, bool (T,)."""
    human = np.array([source == ControlSource.HUMAN for source in episode.sources], dtype=bool)
    return human & np.any(np.abs(episode.executed_actions - episode.human_actions) > _SAME_ACTION, axis=1)


def chunk_rows(labels: Sequence[StepLabel], ticks: np.ndarray, disturbed: np.ndarray, horizon: int) -> np.ndarray:
    """How many rows of a chunk starting at each step may count, int64 (T,), 0..horizon.

    A chunk ends where the label changes, before a step that is not used (HOLD), at a lost tick, with the episode, and
    after a `disturbed` (T,) step, whose execution was not what the person wanted: from there on the person reacted to
    what no camera had shown at the start of the chunk.
    """
    rows = np.zeros(len(labels), dtype=np.int64)
    for step in range(len(labels) - 1, -1, -1):
        if labels[step] == StepLabel.UNUSED:
            continue
        goes_on = (
            step + 1 < len(labels)
            and labels[step + 1] == labels[step]
            and ticks[step + 1] == ticks[step] + 1
            and not disturbed[step]
        )
        rows[step] = min(horizon, 1 + (rows[step + 1] if goes_on else 0))
    return rows


def _targets(episode: Episode, human: np.ndarray) -> np.ndarray:
    """What each step is trained on: the action that was chosen, not what a limit made of it."""
    chosen = np.where(human[:, None], episode.human_actions, episode.policy_actions)
    known = np.isfinite(chosen).all(axis=1, keepdims=True)
    return np.where(known, chosen, episode.executed_actions).astype(np.float32)


def fingerprint(episode: Episode) -> str:
    """SHA-256 of an episode's task, states, actions and sources, not of its times, name or place."""
    digest = hashlib.sha256(f"{episode.info.kind}\0{episode.info.instruction}\0{episode.info.seed}".encode())
    for source in episode.sources:
        digest.update(source.encode())
    for values in (episode.executed_actions, *(episode.state[name] for name in sorted(episode.state))):
        digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()
