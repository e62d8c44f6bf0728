"""A store -> episode files, each whole and verified under its name, or not there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apo_core.errors import ApoError, EpisodeFormatError, EpisodeToolError
from apo_core.remote.chunk_store import DamageError
from apo_core.remote.content import receive
from apo_core.remote.patience import Patience
from apo_core.system.atomic_files import replace_file, replacing
from apo_episodes.annotation import annotation_path
from apo_episodes.compaction import lossless_sha256
from apo_episodes.remote.store import Record, RemoteStore

_PARTIAL = ".partial"  # of names that no reader of episode folders takes for an episode


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one episode."""

    record: Record
    is_new: bool  # False: the file was there already
    has_other_annotation: bool = False  # the folder has one of its own, which stays


def pull(
    store: RemoteStore,
    folder: Path,
    robots: Collection[str],
    patience: Patience,
    report: Callable[[Pulled], None],
    rejected: Callable[[str, ApoError], None],
) -> int:
    """Brings the episodes of a store into a folder; returns how many were not there. One that fails stops no other.

    A file that is there with the size of the record is taken for the same: files of a folder change by nobody's hand.
    One that was made of the record's by `compact` is the same as well.

    Args:
        store: where from.
        folder: made when missing.
        robots: whose episodes; empty: of all.
        patience: how long an access to the store is tried again.
        report: takes each episode as it is done.
        rejected: takes `<robot>/<episode id>` of each that is left out, and why: damaged content, another file of its
            name.

    Raises:
        RemoteError: the store fails for longer than the patience.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owners: dict[str, str] = {}
    new = 0
    for robot, episode_id in patience.call(lambda: list(store.episodes())):
        if robots and robot not in robots:
            continue
        try:
            record = patience.call(partial(store.record, robot, episode_id))
            if record is None:  # withdrawn since it was listed
                continue
            other = owners.setdefault(record.file, robot)
            if other != robot:
                raise EpisodeToolError(
                    f"{store.url}: robots {other} and {robot} both have {record.file}: pull each into a folder of its "
                    "own (--robot)"
                )
            done = _pull_one(store, record, folder, patience)
        except (EpisodeToolError, DamageError) as error:
            rejected(f"{robot}/{episode_id}", error)
            continue
        new += done.is_new
        report(done)
    return new


def _pull_one(store: RemoteStore, record: Record, folder: Path, patience: Patience) -> Pulled:
    path = folder / record.file
    is_new = not path.exists()
    if not is_new and path.stat().st_size != record.size and not _is_made_of(path, record):
        raise EpisodeToolError(f"{path}: has {path.stat().st_size} bytes, {store.url} has {record.size}")
    if is_new:
        with replacing(path, path.with_name(f"{path.name}{_PARTIAL}")) as file:
            receive(record.content, store, patience, file, f"{record.robot}/{record.episode_id}")
    beside = annotation_path(path)
    if record.annotation and not beside.exists():
        replace_file(beside, record.annotation)
    # a decision that somebody made here is not overwritten
    return Pulled(record, is_new, beside.exists() and beside.read_text() != record.annotation)


def _is_made_of(path: Path, record: Record) -> bool:
    """Whether a file is the record's with its images as video."""
    try:
        return lossless_sha256(path) == record.sha256
    except EpisodeFormatError:
        return False
