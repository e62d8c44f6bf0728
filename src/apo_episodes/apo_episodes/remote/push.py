"""Episode files -> a store; kill it at any time, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from apo_core.errors import ApoError, EpisodeToolError
from apo_core.remote.chunk_store import CHUNK_BYTES, RemoteError, check_name
from apo_core.remote.content import send
from apo_core.remote.journal import Journal
from apo_core.remote.marker import recognise
from apo_core.remote.patience import Patience
from apo_episodes.compaction import lossless_sha256
from apo_episodes.reader import read_episode
from apo_episodes.remote.file_state import file_state, read_annotation
from apo_episodes.remote.store import Record, RemoteStore

_JOURNALS = ".upload"  # in the folder of the episodes


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one file."""

    path: Path
    is_new: bool  # False: it was there already
    sent_bytes: int
    skipped_bytes: int  # of chunks that were there


def push(
    paths: Iterable[Path],
    store: RemoteStore,
    robot: str,
    patience: Patience,
    report: Callable[[Pushed], None],
    rejected: Callable[[Path, Exception], None],
) -> int:
    """Brings episode files to a store; returns how many were not there. One that fails stops no other.

    Args:
        paths: finished episode files.
        store: where to.
        robot: that recorded them; a name.
        patience: how long an access to the store is tried again.
        report: takes each file as it is done.
        rejected: takes each file that is left out, and why: it is no episode, changes meanwhile, or has another content
            than the episode of its name in the store.

    Raises:
        RemoteError: the store fails for longer than the patience, or is in a folder and is not the one of the journal.
        StoreError: `robot` is no name.
    """
    check_name("robot", robot)
    journals: dict[Path, Journal] = {}
    new = 0
    for path in paths:
        if (journal := journals.get(path.parent)) is None:
            journal = journals[path.parent] = Journal(path.parent / _JOURNALS, store.url, robot)
            patience.call(partial(recognise, store, journal, writes=True))
        try:
            if journal.state(path.name) == file_state(path):
                report(Pushed(path, False, 0, path.stat().st_size))
                continue
            done, state = _push_one(path, store, robot, patience)
        except RemoteError:
            raise
        except (ApoError, OSError) as error:
            rejected(path, error)
            continue
        with suppress(OSError):  # a full disk: the store is asked again next time
            journal.add(path.name, state)
        new += done.is_new
        report(done)
    return new


def _push_one(path: Path, store: RemoteStore, robot: str, patience: Patience) -> tuple[Pushed, list[object]]:
    """What became of a file, and its state at that time."""
    before, size = file_state(path), path.stat().st_size
    episode_id = check_name("episode_id", read_episode(path, images=False).info.episode_id)
    check_name("file", path.name)
    known = patience.call(partial(store.record, robot, episode_id))
    if known is not None and known.sha256 == lossless_sha256(path):  # the store keeps the lossless file
        annotated = replace(known, annotation=read_annotation(path))
        if annotated != known:
            patience.call(partial(store.put_record, annotated))
        return Pushed(path, False, 0, size), before
    with open(path, "rb") as file:
        content, sent = send(file, store, patience, CHUNK_BYTES)
    if file_state(path) != before:
        raise EpisodeToolError(f"{path}: changed while it was read")
    if known is not None and known.sha256 != content.sha256:
        raise EpisodeToolError(
            f"{path}: {store.url} has another file as episode {episode_id} of robot {robot}; give this robot a name of "
            "its own (--robot)"
        )
    size, annotation = content.size, read_annotation(path)
    record = Record(robot, episode_id, path.name, size, content.sha256, content.chunks, annotation)
    if record != known:
        patience.call(partial(store.put_record, record))
    return Pushed(path, known is None, sent, size - sent), before
