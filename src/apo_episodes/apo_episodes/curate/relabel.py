"""Labels under another rule, as a file beside the episodes: the facts in the episode files stay as they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apo_core.config import parameters as config
from apo_core.errors import ConfigError, EpisodeToolError
from apo_core.types import StepLabel
from apo_episodes.compaction import lossless_sha256
from apo_episodes.episode import Episode
from apo_episodes.files import new_file, unique_ids
from apo_episodes.labeling import LabelRule

SCHEMA_NAME = "apo.labels"
SCHEMA_VERSION = 1
_BLOCK = 1 << 20


def label_counts(episode: Episode, rule: LabelRule) -> dict[str, int]:
    """{label: steps} under a rule."""
    labels = episode.labels(rule)
    return {str(label): labels.count(label) for label in StepLabel}


def write_labels(episodes: Sequence[Episode], rule: LabelRule, target: Path) -> None:
    """Writes the labels of every step under a rule as JSON; each episode is bound to its file by a hash.

    Raises:
        EpisodeToolError: the target exists, or an episode is there twice.
    """
    unique_ids(episodes)
    document = {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "rule": asdict(rule),
        "episodes": {
            episode.info.episode_id: {
                "file": episode.path.name,
                "sha256": _sha256(episode.path),
                # runs of equal labels: [label, number of steps]
                "labels": _runs(episode.labels(rule)),
            }
            for episode in episodes
        },
    }
    with new_file(target) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")


def read_labels(path: Path, episode: Episode) -> tuple[LabelRule, list[StepLabel]]:
    """The rule of a label file and its labels of an episode, one a step.

    Raises:
        EpisodeToolError: unreadable, newer, without the episode, or made from another content of its file.
    """
    try:
        document: dict[str, Any] = json.loads(Path(path).read_text())
        schema, version = document["schema"], document["schema_version"]
        if (schema, version) != (SCHEMA_NAME, SCHEMA_VERSION):
            raise EpisodeToolError(
                f"{path}: is {schema!r} of version {version}, this software reads {SCHEMA_NAME!r} {SCHEMA_VERSION}"
            )
        rule = config.build(LabelRule, document["rule"], str(path))
        entry = document["episodes"].get(episode.info.episode_id)
        if entry is None:
            raise EpisodeToolError(f"{path}: has no labels of episode '{episode.info.episode_id}'")
        runs = [(StepLabel(label), int(count)) for label, count in entry["labels"]]
        digest = entry["sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise EpisodeToolError(f"{path}: not a label file ({type(error).__name__}: {error})") from None
    # a compacted file has the facts of the one it was made of
    is_same = digest == _sha256(episode.path) or digest == lossless_sha256(episode.path)
    if not is_same or sum(count for _, count in runs) != episode.num_steps:
        raise EpisodeToolError(f"{path}: its labels belong to another content of {episode.path}")
    return rule, [label for label, count in runs for _ in range(count)]


def _runs(labels: Sequence[StepLabel]) -> list[list[Any]]:
    runs: list[list[Any]] = []
    for label in labels:
        if runs and runs[-1][0] == str(label):
            runs[-1][1] += 1
        else:
            runs.append([str(label), 1])
    return runs


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
