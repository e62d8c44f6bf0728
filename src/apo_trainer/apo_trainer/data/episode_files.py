"""Which episode files a run trains on, and which are rejected. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apo_core.types import EpisodeInfo, EpisodeKind, Purpose
from apo_episodes.reader import list_episodes


@dataclass(frozen=True, slots=True)
class RejectedEpisode:
    """A file that was not used, and why."""

    path: Path
    reason: str  # without the path

    @classmethod
    def because(cls, path: Path, error: Exception) -> RejectedEpisode:
        """Of an error whose text begins with the path, or does not."""
        return cls(Path(path), str(error).removeprefix(f"{path}: "))


def is_trained_on(info: EpisodeInfo) -> bool:
    """Whether an episode is of a kind to learn from: a demonstration, or an interaction of a deployment."""
    purpose = info.tags.get("purpose", Purpose.DEPLOYMENT)
    return info.kind != EpisodeKind.INTERACTION or purpose == Purpose.DEPLOYMENT


def find_episodes(
    episodes: Path | None, expert: Path | None, episode_ids: Sequence[str] = ()
) -> tuple[list[Path], list[RejectedEpisode]]:
    """Files to train on: all demonstrations, and all or the named interactions.

    Returns:
        The files, and a RejectedEpisode for each named episode that is not there.
    """
    demonstrations = list_episodes(expert) if expert and Path(expert).is_dir() else []
    recorded = list_episodes(episodes) if episodes and Path(episodes).is_dir() else []
    if not episode_ids:
        return demonstrations + recorded, []
    known = {path.stem: path for path in recorded}
    missing = [
        RejectedEpisode(Path(episodes or "") / f"{name}.h5", "requested but not found")
        for name in episode_ids
        if name not in known
    ]
    return demonstrations + [known[name] for name in episode_ids if name in known], missing
