"""Episodes that were taken back: moved out of the data set into `.discarded`, together with their annotation."""

from __future__ import annotations

from pathlib import Path

from apo_core.errors import EpisodeToolError
from apo_core.system.atomic_files import move
from apo_episodes.annotation import annotation_path
from apo_episodes.reader import list_episodes

FOLDER = ".discarded"


def discard(episode: Path) -> Path:
    """Moves an episode file to `.discarded`; returns its place there.

    Raises:
        OSError: it cannot be moved.
        EpisodeToolError: there is one of this name already.
    """
    folder = episode.parent / FOLDER
    folder.mkdir(exist_ok=True)
    return _move(episode, folder / episode.name)


def restore(directory: Path, episode_id: str) -> Path:
    """Moves a discarded episode back into its folder; returns its place there.

    Raises:
        OSError: it cannot be moved.
        EpisodeToolError: there is one of this name already.
    """
    return _move(directory / FOLDER / f"{episode_id}.h5", directory / f"{episode_id}.h5")


def list_discarded(directory: Path) -> list[Path]:
    """Discarded episode files of a directory, by name."""
    return list_episodes(directory / FOLDER)


def _move(source: Path, target: Path) -> Path:
    if target.exists():
        raise EpisodeToolError(f"{target}: exists already; nothing is overwritten")
    # the annotation first: an episode is never seen without it
    if annotation_path(source).exists():
        move(annotation_path(source), annotation_path(target))
    move(source, target)
    return target
