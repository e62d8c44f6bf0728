"""Episodes in a store.

`episodes/<robot>/<episode id>.json` is the record of an episode: name, size, hash and chunks of its file, and its
annotation.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass

from apo_core.remote.chunk_store import NAME, Chunk, ChunkStore, DamageError
from apo_core.remote.content import Content, content_faults, parse_content

SCHEMA_NAME, SCHEMA_VERSION = "apo.remote_episode", 1
_EPISODES = "episodes"
_MAX_RECORD_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """An episode in the store."""

    robot: str
    episode_id: str
    file: str  # name without a folder
    size: int
    sha256: str
    chunks: tuple[Chunk, ...]  # in the order of the file
    annotation: str = ""  # content of <id>.annotation.json; empty: there is none

    @property
    def content(self) -> Content:
        return Content(self.size, self.sha256, self.chunks)

    def to_json(self) -> bytes:
        """Content of the record's file; equal records give equal bytes."""
        document = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, **asdict(self)}
        return (json.dumps(document, sort_keys=True) + "\n").encode()


class RemoteStore(ChunkStore):
    """The episodes at a URL; arguments and errors as of `ChunkStore`."""

    def put_record(self, record: Record) -> None:
        """Writes or replaces the record of an episode. Raises RemoteError."""
        self.put_document(_record_path(record.robot, record.episode_id), record.to_json())

    def record(self, robot: str, episode_id: str) -> Record | None:
        """The record of an episode; None where it has none. Raises RemoteError."""
        data = self.document(_record_path(robot, episode_id))
        return None if data is None else parse_record(data, robot, episode_id, self.url)

    def episodes(self, robots: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        """(robot, episode id) of every record, sorted; `robots` as of `states`. Raises RemoteError."""
        yield from self.states(robots)

    def states(self, robots: Collection[str] = ()) -> dict[tuple[str, str], str]:
        """(robot, episode id) of every record, sorted, with a text that changes with the record, empty if unknown.

        Args:
            robots: whose records; empty: of all, in one listing.

        Raises:
            RemoteError: the store cannot be listed.
        """
        found = {}
        for folder in [f"{_EPISODES}/{robot}" for robot in sorted(robots)] or [_EPISODES]:
            for path, state in self.listing(folder).items():
                robot, _, name = f"{folder}/{path}".removeprefix(f"{_EPISODES}/").rpartition("/")
                if name.endswith(".json"):
                    found[robot, name.removesuffix(".json")] = state
        return found


def _record_path(robot: str, episode_id: str) -> str:
    return f"{_EPISODES}/{robot}/{episode_id}.json"


def parse_record(data: bytes, robot: str, episode_id: str, source: str) -> Record:
    """Checks the content of a record's file. Raises DamageError with everything that is wrong."""
    faults = [] if len(data) <= _MAX_RECORD_BYTES else [f"has {len(data)} bytes"]
    try:
        document = json.loads(data)
        content = parse_content(document)
        names = ("robot", "episode_id", "file", "annotation")
        record = Record(
            size=content.size,
            sha256=content.sha256,
            chunks=content.chunks,
            **{name: str(document[name]) for name in names},
        )
        if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
            faults.append(f"schema is {document['schema']!r} {document['schema_version']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(f"{source}: record {robot}/{episode_id}: {type(error).__name__}: {error}") from None
    if (record.robot, record.episode_id) != (robot, episode_id):
        faults.append(f"is of {record.robot}/{record.episode_id}")
    faults += [
        f"{what} = {name!r} is no plain name"
        for what, name in (("robot", robot), ("episode_id", episode_id), ("file", record.file))
        if not NAME.fullmatch(name)
    ]
    faults += content_faults(content)
    if faults:
        raise DamageError(f"{source}: record {robot}/{episode_id}: {'; '.join(faults)}")
    return record
