"""Summaries of episodes: rows of a table, or plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from apo_core.system.text_columns import align_columns
from apo_core.types import ControlSource, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.inspection.attention import Watched
from apo_episodes.labeling import LabelRule

_COLUMNS = ("episode", "kind", "outcome", "steps", "seconds", "takeovers", "human", "adapter", "operator", "losses")


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode in numbers."""

    path: str
    episode_id: str
    kind: str
    task: str
    outcome: str
    steps: int
    seconds: float  # steps / control rate
    takeovers: int
    intervention_share: float  # 0..1
    adapter_versions: tuple[int, ...]  # of the policy's actions; 0 is the base policy
    operator: str
    created_utc: str
    losses: dict[str, int]  # counts of the recorder
    missed_ticks: int  # gaps in the control ticks


def summarise(episode: Episode) -> EpisodeRow:
    """The row of an episode."""
    ticks, info = episode.ticks, episode.info
    outcome, versions = str(episode.outcome.outcome), episode.adapter_versions.tolist()
    watched = Watched.of_steps(outcome, episode.sources, versions, episode.contract.rate_hz, info.kind)
    return EpisodeRow(
        path=str(episode.path),
        episode_id=info.episode_id,
        kind=watched.kind,
        task=info.task,
        outcome=outcome,
        steps=episode.num_steps,
        seconds=watched.seconds,
        takeovers=watched.takeovers,
        intervention_share=watched.intervention_share,
        adapter_versions=watched.adapter_versions,
        operator=info.operator,
        created_utc=info.created_utc,
        losses=dict(episode.losses),
        missed_ticks=int(ticks[-1] - ticks[0] + 1 - len(ticks)) if len(ticks) else 0,
    )


def lost_counts(losses: Mapping[str, int]) -> dict[str, int]:
    """The counts of a file without `frames_recorded`, which is not a loss."""
    return {name: int(count) for name, count in losses.items() if count and name != "frames_recorded"}


def format_table(rows: Sequence[EpisodeRow]) -> str:
    """The rows as aligned text, with a line of totals."""
    text = align_columns([_COLUMNS, *(_cells(row) for row in rows)])
    outcomes = Counter(row.outcome for row in rows)
    steps = sum(row.steps for row in rows)
    human = sum(row.intervention_share * row.steps for row in rows)
    text.append(
        f"{len(rows)} episodes ({', '.join(f'{count} {name}' for name, count in sorted(outcomes.items()))}), "
        f"{steps} steps, {sum(row.seconds for row in rows):.1f} s, {sum(row.takeovers for row in rows)} takeovers, "
        f"{human / steps if steps else 0:.0%} by the operator"
    )
    return "\n".join(text)


def _cells(row: EpisodeRow) -> tuple[str, ...]:
    lost = lost_counts(row.losses)
    if row.missed_ticks:
        lost["ticks"] = row.missed_ticks
    return (
        row.episode_id,
        row.kind.lower(),
        row.outcome,
        str(row.steps),
        f"{row.seconds:.1f}",
        str(row.takeovers),
        f"{row.intervention_share:.0%}",
        ",".join(map(str, row.adapter_versions)),
        row.operator or "-",
        " ".join(f"{name}={count}" for name, count in lost.items()) or "0",
    )


def describe(episode: Episode, rule: LabelRule) -> dict[str, Any]:
    """Everything about an episode but its arrays, as plain data."""
    rate = episode.contract.rate_hz
    labels = episode.labels(rule)
    tokens, remaining = episode.policy_tokens, episode.task_remaining
    known = [] if remaining is None else [round(float(value), 4) for value in remaining[np.isfinite(remaining)]]
    return {
        **asdict(summarise(episode)),
        "schema": f"{episode.schema_version}.{episode.schema_minor}",
        "bytes": episode.path.stat().st_size,
        "instruction": episode.info.instruction,
        "seed": episode.info.seed,
        "tags": dict(episode.info.tags),
        "outcome_reason": episode.outcome.reason,
        "rejections": dict(episode.rejections),
        "recorded_outcome": str((episode.recorded_outcome or episode.outcome).outcome),
        "annotation": asdict(episode.annotation) if episode.annotation else {},
        "terminated": episode.outcome.terminated,
        "truncated": episode.outcome.truncated,
        "rate_hz": rate,
        "contract_sha256": episode.contract.sha256,
        "images": {s.name: [episode.num_steps, s.height, s.width] for s in episode.contract.images},
        "state": {s.name: {"size": s.size, "unit": s.unit} for s in episode.contract.state},
        "action": dict(zip(episode.contract.action.names, episode.contract.action.units, strict=True)),
        "sources": {str(s): sum(one == s for one in episode.sources) for s in ControlSource},
        "reasons": dict(Counter(episode.reasons).most_common()),
        "policy_token_steps": int((tokens >= 0).all(axis=1).sum()) if tokens is not None else 0,
        "task_remaining": {"first": known[0], "last": known[-1], "steps": len(known)} if known else {},
        "furthest_stage": episode.furthest_stage,
        "takeover_steps": list(episode.takeovers),
        "label_rule": {name: getattr(rule, name) for name in rule.__dataclass_fields__},
        "undesirable_windows": [{**asdict(w), "steps": w.steps} for w in episode.undesirable_windows(rule)],
        "human_rest": {"steps": int(episode.resting.sum()), "left_out": episode.rest_steps_left_out(rule)},
        "labels": {str(label): labels.count(label) for label in StepLabel},
    }


def format_description(facts: dict[str, Any]) -> str:
    """`describe` for people."""
    lines = []
    for name, value in facts.items():
        if name == "undesirable_windows":
            value = ", ".join(map(_window, value)) or "-"
        if isinstance(value, dict):
            value = ", ".join(f"{key or '-'}: {_inline(part)}" for key, part in value.items()) or "-"
        lines.append(f"{name:<19} {_inline(value)}")
    return "\n".join(lines)


def _window(window: dict[str, Any]) -> str:
    fallback = " (fallback)" if window["fallback"] else ""
    return f"{window['steps']} steps from {window['start']} by {window['rule']}{fallback}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{part}" for part in value.values())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "-"
    return str(value) if value != "" else "-"
