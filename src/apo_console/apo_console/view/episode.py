"""One recorded episode as the page shows it: a row of the list, and its timeline. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from apo_core.types import PERTURBATION, Purpose
from apo_episodes.episode import Episode
from apo_episodes.inspection.ledger import Round
from apo_episodes.inspection.table import lost_counts, summarise
from apo_episodes.labeling import LabelRule


def row(episode: Episode) -> dict[str, Any]:
    """The episode in numbers, as JSON holds it."""
    found = summarise(episode)
    return {
        "id": found.episode_id,
        "kind": found.kind,
        "task": found.task,
        "outcome": found.outcome,
        "recorded_outcome": str((episode.recorded_outcome or episode.outcome).outcome),
        "reason": episode.outcome.reason,
        "steps": found.steps,
        "seconds": found.seconds,
        "driven_s": round(Round.of(found).driven_s, 3),
        "takeovers": found.takeovers,
        "share": found.intervention_share,
        "adapters": list(found.adapter_versions),
        "operator": found.operator,
        "created": found.created_utc,
        "purpose": str(episode.info.tags.get("purpose", Purpose.DEPLOYMENT)),
        "perturbed": PERTURBATION in episode.info.tags,
        "lost": lost_counts(found.losses),
        "missed_ticks": found.missed_ticks,
        "stage": episode.furthest_stage,
    }


def details(episode: Episode, rule: LabelRule) -> dict[str, Any]:
    """The row, and `timeline`: runs of steps `{start, end, source, label, reason}` that are alike, `end` exclusive.

    Args:
        episode: read with or without its images.
        rule: of the labels.
    """
    runs: list[dict[str, Any]] = []
    for step, values in enumerate(zip(episode.sources, episode.labels(rule), episode.reasons, strict=True)):
        source, label, reason = map(str, values)
        if runs and (runs[-1]["source"], runs[-1]["label"], runs[-1]["reason"]) == (source, label, reason):
            runs[-1]["end"] = step + 1
        else:
            runs.append({"start": step, "end": step + 1, "source": source, "label": label, "reason": reason})
    return {
        **row(episode),
        "instruction": episode.info.instruction,
        "seed": episode.info.seed,
        "rate_hz": episode.contract.rate_hz,
        "cameras": list(episode.contract.image_names),
        "takeover_steps": list(episode.takeovers),
        "timeline": runs,
        "annotation": asdict(episode.annotation) if episode.annotation else None,
        "rule": asdict(rule),
        "clipped_steps": int(np.count_nonzero([bool(text) for text in episode.clipped])),
    }
