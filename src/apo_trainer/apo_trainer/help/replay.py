"""What a policy predicted in a recorded episode, computed again from the recorded observations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.help.features import HelpFeatures
from apo_core.served_policy import ServedPolicy
from apo_core.types import ActionChunk, ControlSource, EpisodeKind, Observation, Outcome
from apo_episodes.episode import Episode
from apo_trainer.help.drives import Drive, DrivenEpisode, Span, spans

ALIKE = 0.02  # mean difference of two actions that count as the same, scaled to -1..1


@dataclass(frozen=True, slots=True)
class Replayed:
    """An episode's drives, and how many of its recorded actions the policy gave again."""

    episode: DrivenEpisode
    alike: int
    compared: int


def unusable(episode: Episode, version: int) -> str:
    """Why nothing about adapter `version` can be learned from an episode; empty: something can."""
    if episode.info.kind is not EpisodeKind.INTERACTION:
        return "is a demonstration"
    if episode.outcome.outcome is Outcome.UNLABELED:
        return "has no outcome"
    driven = np.array([source == ControlSource.POLICY for source in episode.sources], bool)
    versions = sorted({int(number) for number in episode.adapter_versions[driven]})
    if versions != [version]:
        return "was not driven by a policy" if not versions else f"was driven by adapter {versions}, not {version}"
    return ""


def is_unaided_success(episode: Episode) -> bool:
    """Whether the policy succeeded without its operator."""
    return episode.outcome.outcome is Outcome.SUCCESS and ControlSource.HUMAN not in episode.sources


def replan_steps_of(episodes: Sequence[Episode]) -> int:
    """Rows of a chunk that were executed before the next one, as most often: 1 where no drive has two chunks."""
    counts: dict[int, int] = {}
    for episode in episodes:
        for span in spans(episode.sources, episode.outcome.outcome):
            steps = _chunk_steps(episode, span)
            for before, after in itertools.pairwise(steps):
                counts[after - before] = counts.get(after - before, 0) + 1
    return max(counts, key=lambda steps: (counts[steps], -steps)) if counts else 1


def replay(episode: Episode, policy: ServedPolicy, replan_steps: int, action_horizon: int) -> Replayed:
    """Predicts again every chunk that the policy drove with.

    Args:
        episode: with images, usable for the adapter that `policy` serves.
        policy: predicts.
        replan_steps: rows of a chunk that are executed.
        action_horizon: rows that are predicted; 0: all of a chunk.

    Raises:
        ObservationError, DecodeError, ValueError: see ServedPolicy.
    """
    features = HelpFeatures(episode.contract.action, replan_steps)
    drives, alike, compared = [], 0, 0
    for span in spans(episode.sources, episode.outcome.outcome):
        steps, rows = _chunk_steps(episode, span), []
        for index, step in enumerate(steps):
            chunk = policy.predict(_observation(episode, step), None, action_horizon or None)
            before = episode.sources[steps[index - 1] : step] if index else ()
            driving = bool(before) and all(source == ControlSource.POLICY for source in before)
            rows.append(features.add(chunk, _state(episode, step), driving))
            compared += 1
            alike += _is_alike(episode, step, chunk)
        if rows:
            drives.append(_drive(episode, span, steps, rows))
    driven = DrivenEpisode(episode.info.episode_id, tuple(drives), is_unaided_success(episode))
    return Replayed(driven, alike, compared)


def _drive(episode: Episode, span: Span, steps: Sequence[int], rows: Sequence[np.ndarray]) -> Drive:
    stamps = episode.stamps_ns["observation"]
    driven = sum(source == ControlSource.POLICY for source in episode.sources[span.start : span.end])
    return Drive(
        stamps_ns=stamps[list(steps)],
        features=np.stack(rows),
        end_ns=int(stamps[min(span.end, episode.num_steps - 1)]),
        ended_by=span.ended_by,
        driven_s=driven * episode.contract.period_ns / 1e9,
    )


def _chunk_steps(episode: Episode, span: Span) -> list[int]:
    """Steps of a span whose observation is that of a chunk which the policy drove with."""
    used = {
        int(episode.stamps_ns["chunk"][step])
        for step in range(span.start, span.end)
        if episode.sources[step] == ControlSource.POLICY
    }
    stamps = episode.stamps_ns["observation"]
    return [step for step in range(span.start, span.end) if int(stamps[step]) in used]


def _is_alike(episode: Episode, step: int, chunk: ActionChunk) -> bool:
    """Whether the first step that executed the chunk has its row as the policy's action."""
    using = np.flatnonzero(episode.stamps_ns["chunk"] == chunk.observation_stamp_ns)
    now = int(using[0])
    stamps = episode.stamps_ns["observation"]
    row = round(int(stamps[now] - stamps[step]) / chunk.period_ns)
    recorded = episode.policy_actions[now]
    if row >= len(chunk.values) or not np.isfinite(recorded).all():
        return False
    half = (np.array(episode.contract.action.high) - np.array(episode.contract.action.low)) / 2
    return float(np.mean(np.abs(chunk.values[row] - recorded) / half)) <= ALIKE


def _state(episode: Episode, step: int) -> dict[str, np.ndarray]:
    return {name: values[step] for name, values in episode.state.items()}


def _observation(episode: Episode, step: int) -> Observation:
    return Observation(
        int(episode.stamps_ns["observation"][step]),
        {name: frames[step] for name, frames in episode.images.items()},
        _state(episode, step),
        episode.info.instruction,
    )
