"""A store -> episode files, each whole and verified under its name, or not there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apo_core.errors import ApoError, EpisodeFormatError, EpisodeToolError
from apo_core.remote.back_off import BackOff
from apo_core.remote.chunk_store import DamageError, check_name
from apo_core.remote.content import receive
from apo_core.remote.journal import Journal
from apo_core.remote.marker import recognise
from apo_core.remote.patience import Patience
from apo_core.system.atomic_files import replace_file, replacing
from apo_episodes.annotation import annotation_path
from apo_episodes.compaction import lossless_sha256
from apo_episodes.remote.file_state import file_state
from apo_episodes.remote.store import Record, RemoteStore

_JOURNALS = ".download"  # in the folder of the episodes
_PARTIAL = ".partial"  # of names that no reader of episode folders takes for an episode


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one episode."""

    path: Path
    robot: str
    is_new: bool = False  # False: the file was there already
    has_other_annotation: bool = False  # the folder has one of its own, which stays


def pull(
    store: RemoteStore,
    folder: Path,
    robots: Collection[str],
    patience: Patience,
    report: Callable[[Pulled], None],
    rejected: Callable[[str, ApoError], None],
    rests: BackOff | None = None,
) -> int:
    """Brings the episodes of a store into a folder; returns how many were not there. One that fails stops no other.

    A file that is there with the size of the record is taken for the same: files of a folder change by nobody's hand.
    One that was made of the record's by `compact` is the same as well. What neither side has changed since the last
    pull is known from a journal in the folder; its record is not read again.

    Args:
        store: where from.
        folder: made when missing.
        robots: whose episodes; empty: of all.
        patience: how long an access to the store is tried again.
        report: takes each episode as it is done.
        rejected: takes `<robot>/<episode id>` of each that is left out, and why: damaged content, another file of its
            name.
        rests: of one look after the other: an episode that was rejected is left out until it is due, or until its
            record changes; None: every one is due.

    Raises:
        RemoteError: the store fails for longer than the patience, or is in a folder and is not the one of the journal.
        StoreError: a name of `robots` is none.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for robot in robots:
        check_name("robot", robot)
    journal = Journal(folder / _JOURNALS, store.url)
    patience.call(partial(recognise, store, journal, writes=False))
    owners: dict[str, str] = {}
    new = 0
    rests = rests or BackOff()
    rests.next_look()
    for (robot, episode_id), remote in patience.call(lambda: store.states(robots)).items():
        name = f"{robot}/{episode_id}"
        if not rests.is_due((name, remote)):
            continue
        try:
            if (path := _known(journal, name, remote, folder)) is None:
                record = patience.call(partial(store.record, robot, episode_id))
                if record is None:  # withdrawn since it was listed
                    continue
                path = folder / record.file
                _check_owner(owners, path, robot, store.url)
                done = _pull_one(store, record, path, patience)
                with suppress(OSError):  # a full disk: the record is read again next time
                    journal.add(name, [remote, path.name, *file_state(path)])
            else:
                _check_owner(owners, path, robot, store.url)
                done = Pulled(path, robot)
        except (EpisodeToolError, DamageError) as error:
            rests.reject((name, remote))
            rejected(name, error)
            continue
        rests.accept((name, remote))
        new += done.is_new
        report(done)
    return new


def _known(journal: Journal, name: str, remote: str, folder: Path) -> Path | None:
    """The file of an episode that both sides still have as the journal has it."""
    state = journal.state(name)
    if state is None or not remote:
        return None
    path = folder / Path(str(state[1])).name
    try:
        return path if state == [remote, path.name, *file_state(path)] else None
    except OSError:
        return None


def _check_owner(owners: dict[str, str], path: Path, robot: str, url: str) -> None:
    other = owners.setdefault(path.name, robot)
    if other != robot:
        raise EpisodeToolError(
            f"{url}: robots {other} and {robot} both have {path.name}: pull each into a folder of its own (--robot)"
        )


def _pull_one(store: RemoteStore, record: Record, path: Path, patience: Patience) -> Pulled:
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
    return Pulled(path, record.robot, is_new, beside.exists() and beside.read_text() != record.annotation)


def _is_made_of(path: Path, record: Record) -> bool:
    """Whether a file is the record's with its images as video."""
    try:
        return lossless_sha256(path) == record.sha256
    except EpisodeFormatError:
        return False
