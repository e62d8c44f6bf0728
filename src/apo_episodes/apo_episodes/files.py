"""Finding episode files, reading them in order, and new files that appear under their name only when they are whole."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_core.system.atomic_files import move, sync
from apo_episodes.episode import Episode
from apo_episodes.names import is_file_name
from apo_episodes.reader import list_episodes, read_episode, read_frames

BLOCK_BYTES = 32 * 2**20  # of images in memory at a time


def find_episodes(paths: Sequence[Path | str]) -> list[Path]:
    """Episode files named by `paths`, in their order; a folder stands for the finished episodes in it.

    Raises:
        EpisodeToolError: a path is missing, or a folder holds no episode; all of them at once.
    """
    found: list[Path] = []
    faults = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = list_episodes(path)
            if not inside:
                faults.append(f"{path}: holds no episode file (*.h5)")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            faults.append(f"{path}: does not exist")
    if faults:
        raise EpisodeToolError("\n".join(faults))
    return list(dict.fromkeys(found))


def read_all(paths: Sequence[Path]) -> list[Episode]:
    """The episodes without their images.

    Raises:
        EpisodeToolError: unreadable files; all of them at once.
    """
    episodes, faults = [], []
    for path in paths:
        try:
            episodes.append(read_episode(path, images=False))
        except EpisodeFormatError as error:
            faults.append(str(error))
    if faults:
        raise EpisodeToolError("\n".join(faults))
    return episodes


def one_contract(episodes: Sequence[Episode]) -> Contract:
    """The contract that all episodes share.

    Raises:
        EpisodeToolError: there is none; names the first file that differs and in what.
    """
    first = episodes[0]
    for episode in episodes[1:]:
        if episode.contract.sha256 != first.contract.sha256:
            ours, theirs = first.contract.as_dict(), episode.contract.as_dict()
            parts = [
                name for name in ("rate_hz", "frame_id", "images", "state", "action") if ours[name] != theirs[name]
            ]
            raise EpisodeToolError(
                f"{episode.path}: its contract differs from that of {first.path} in {', '.join(parts) or 'version'}; "
                "data of one contract only can go together"
            )
    return first.contract


def unique_ids(episodes: Sequence[Episode]) -> None:
    """Raises EpisodeToolError when two files hold an episode of the same id, or an id is not a valid file name."""
    known: dict[str, Path] = {}
    for episode in episodes:
        if not is_file_name(episode.info.episode_id):
            raise EpisodeToolError(f"{episode.path}: episode_id = {episode.info.episode_id!r} is not a valid file name")
        other = known.setdefault(episode.info.episode_id, episode.path)
        if other != episode.path:
            raise EpisodeToolError(f"{episode.path}: episode '{episode.info.episode_id}' is in {other} as well")


def frame_blocks(episode: Episode) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The images of an episode in pieces that fit into memory: (first step, {camera: (n, H, W, ...)}).

    Raises:
        EpisodeFormatError: unreadable.
    """
    frame_bytes = sum(spec.height * spec.width * 3 for spec in episode.contract.images)
    length = max(1, BLOCK_BYTES // max(frame_bytes, 1))
    for start in range(0, episode.num_steps, length):
        yield start, read_frames(episode.path, range(start, min(start + length, episode.num_steps)))


@contextmanager
def new_file(path: Path | str) -> Iterator[Path]:
    """A temporary path on the same file system; the file there at the end is put on disk and renamed to `path`.

    Raises:
        EpisodeToolError: `path` exists, or its folder does not.
    """
    path = Path(path)
    with _renamed(path) as partial:
        yield partial
        sync(partial)


@contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder on the same file system; at the end all of it is put on disk and renamed to `path`.

    Raises:
        EpisodeToolError: `path` exists, or its folder does not.
    """
    path = Path(path)
    with _renamed(path) as partial:
        partial.mkdir()
        yield partial
        for folder, _, names in os.walk(partial, topdown=False):
            for name in names:
                sync(Path(folder) / name)
            sync(Path(folder))


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    _check_free(path)
    if not path.parent.is_dir():
        raise EpisodeToolError(f"{path}: its folder {path.parent} does not exist")
    # under its own name, by which some libraries choose the format, in a folder that nobody lists
    place = path.with_name(f".partial-{os.getpid()}-{path.name}")
    place.mkdir()
    try:
        yield place / path.name
        _check_free(path)
        move(place / path.name, path)
    finally:
        shutil.rmtree(place)


def _check_free(path: Path) -> None:
    if path.exists():
        raise EpisodeToolError(f"{path}: exists already; choose another name, nothing is overwritten")


def extra_module(name: str, package: str, extra: str) -> ModuleType:
    """Imports a module of an optional extra.

    Raises:
        EpisodeToolError: it is missing; the message names what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EpisodeToolError(
            f"this needs the Python package '{package}', which cannot be imported ({error}): install it with  "
            f"pip install -c requirements/lock.txt -r requirements/{extra}.in"
        ) from None
