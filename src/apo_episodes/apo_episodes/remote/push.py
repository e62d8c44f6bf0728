"""Episode files -> a store; kill it at any time, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from apo_core.errors import ApoError, EpisodeToolError
from apo_core.remote.chunk_store import CHUNK_BYTES, RemoteError, check_name
from apo_core.remote.content import send
from apo_core.remote.patience import Patience
from apo_core.system.atomic_files import sync
from apo_episodes.annotation import annotation_path
from apo_episodes.compaction import lossless_sha256
from apo_episodes.reader import read_episode
from apo_episodes.remote.store import Record, RemoteStore

_JOURNALS = ".upload"  # in the folder of the episodes


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one file."""

    path: Path
    is_new: bool  # False: it was there already
    sent_bytes: int
    skipped_bytes: int  # of chunks that were there


class Journal:
    """Files that are in the store, as lines of JSON in the folder of the episodes; a line is whole or does not count.

    What it lacks, after a full disk for example, is looked up in the store again.

    Args:
        folder: of the episodes.
        url: of the store.
        robot: as which they are pushed.
    """

    def __init__(self, folder: Path, url: str, robot: str):
        name = hashlib.sha256(f"{url}\0{robot}".encode()).hexdigest()[:16]
        self._path = folder / _JOURNALS / f"{name}.jsonl"
        self._known: dict[str, list[object]] = {}
        with suppress(OSError):
            for line in self._path.read_text().splitlines():
                with suppress(ValueError, TypeError, KeyError):  # one that was cut off
                    entry = json.loads(line)
                    self._known[entry["file"]] = entry["state"]

    def has(self, path: Path) -> bool:
        """Whether the file is in the store as it is now."""
        return self._known.get(path.name) == _state(path)

    def add(self, path: Path) -> None:
        """The file is in the store. Raises OSError; then it is not in the journal."""
        state = _state(path)
        self._path.parent.mkdir(exist_ok=True)
        with open(self._path, "a") as file:
            file.write(json.dumps({"file": path.name, "state": state}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self._path.parent)
        self._known[path.name] = state


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
        RemoteError: the store fails for longer than the patience.
        StoreError: `robot` is no name.
    """
    check_name("robot", robot)
    journals: dict[Path, Journal] = {}
    new = 0
    for path in paths:
        journal = journals.setdefault(path.parent, Journal(path.parent, store.url, robot))
        try:
            if journal.has(path):
                report(Pushed(path, False, 0, path.stat().st_size))
                continue
            done = _push_one(path, store, robot, patience)
        except RemoteError:
            raise
        except (ApoError, OSError) as error:
            rejected(path, error)
            continue
        with suppress(OSError):  # a full disk: the store is asked again next time
            journal.add(path)
        new += done.is_new
        report(done)
    return new


def _push_one(path: Path, store: RemoteStore, robot: str, patience: Patience) -> Pushed:
    before, size = _state(path), path.stat().st_size
    episode_id = check_name("episode_id", read_episode(path, images=False).info.episode_id)
    check_name("file", path.name)
    known = patience.call(partial(store.record, robot, episode_id))
    if known is not None and known.sha256 == lossless_sha256(path):  # the store keeps the lossless file
        annotated = replace(known, annotation=_annotation(path))
        if annotated != known:
            patience.call(partial(store.put_record, annotated))
        return Pushed(path, False, 0, size)
    with open(path, "rb") as file:
        content, sent = send(file, store, patience, CHUNK_BYTES)
    if _state(path) != before:
        raise EpisodeToolError(f"{path}: changed while it was read")
    if known is not None and known.sha256 != content.sha256:
        raise EpisodeToolError(
            f"{path}: {store.url} has another file as episode {episode_id} of robot {robot}; give this robot a name of "
            "its own (--robot)"
        )
    size, annotation = content.size, _annotation(path)
    record = Record(robot, episode_id, path.name, size, content.sha256, content.chunks, annotation)
    if record != known:
        patience.call(partial(store.put_record, record))
    return Pushed(path, known is None, sent, size - sent)


def _annotation(path: Path) -> str:
    try:
        return annotation_path(path).read_text()
    except FileNotFoundError:
        return ""


def _state(path: Path) -> list[object]:
    """What changes with the content of a file or of its annotation."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, hashlib.sha256(_annotation(path).encode()).hexdigest()]
