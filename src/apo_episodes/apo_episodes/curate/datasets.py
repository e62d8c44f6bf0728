"""Folders of episode files made from others: copies of a selection, parts of a data set, merged data sets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from apo_core.errors import EpisodeToolError
from apo_episodes.annotation import annotation_path
from apo_episodes.episode import Episode
from apo_episodes.files import new_folder, one_contract, unique_ids


def write_folder(episodes: Sequence[Episode], target: Path, link: bool = False) -> list[Path]:
    """Copies the files of the episodes into a new folder, as `<episode_id>.h5`.

    Args:
        episodes: one contract, ids that differ.
        target: folder to be made.
        link: hard links instead of copies: no space taken, the same file system only.

    Raises:
        EpisodeToolError: nothing to write, contracts that differ, an id twice, a target that exists, or no link
            possible.
    """
    return write_folders({"": episodes}, target, link)[""]


def write_folders(parts: Mapping[str, Sequence[Episode]], target: Path, link: bool = False) -> dict[str, list[Path]]:
    """Copies each part into a folder of its own within a new folder; see `write_folder`.

    Returns:
        {part: the files written}.
    """
    empty = [name for name, episodes in parts.items() if not episodes]
    if empty:
        raise EpisodeToolError(f"{target}: no episode for {', '.join(empty) or 'it'}; nothing was written")
    everything = [episode for episodes in parts.values() for episode in episodes]
    one_contract(everything)
    unique_ids(everything)
    written: dict[str, list[Path]] = {}
    with new_folder(target) as folder:
        for name, episodes in parts.items():
            (folder / name).mkdir(exist_ok=True)
            for episode in episodes:
                place = Path(name) / f"{episode.info.episode_id}.h5"
                _copy(episode.path, folder / place, link)
                if annotation_path(episode.path).exists():
                    _copy(annotation_path(episode.path), annotation_path(folder / place), link=False)
                written.setdefault(name, []).append(Path(target) / place)
    return written


def _copy(source: Path, target: Path, link: bool) -> None:
    try:
        if link:
            os.link(source, target)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        hint = " (leave --link out to copy)" if link else ""
        raise EpisodeToolError(f"{source}: cannot be put into {target.parent}: {error}{hint}") from None
