"""What lies at the URL, and every access to it.

    chunks/<first two digits>/<sha256>         at most CHUNK_BYTES of some file
    episodes/<robot>/<episode id>.json         the record: name, size, hash and chunks of the file, and its annotation

A record is written after its chunks. A chunk is named by its content, so that it may be written twice, by anybody, in
any order, and an upload goes on where it was cut off.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from apo_core.errors import EpisodeToolError

CHUNK_BYTES = 8 << 20
SCHEMA_NAME, SCHEMA_VERSION = "apo.remote_episode", 1
_MAX_RECORD_BYTES = 8 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RemoteError(EpisodeToolError):
    """The store cannot be reached or answers with an error; later it may."""


class DamageError(RemoteError):
    """The store holds other content than was put there; another attempt reads the same."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file."""

    sha256: str
    size: int


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

    def to_json(self) -> bytes:
        """Content of the record's file; equal records give equal bytes."""
        document = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, **asdict(self)}
        return (json.dumps(document, sort_keys=True) + "\n").encode()


def check_name(what: str, name: str) -> str:
    """A name that is safe in a path of any store.

    Raises:
        EpisodeToolError: letters, digits, `.`, `_` and `-` alone, and at most 128.
    """
    if not _NAME.fullmatch(name):
        raise EpisodeToolError(f"{what} = {name!r} must have 1 to 128 letters, digits, '.', '_' or '-'")
    return name


class RemoteStore:
    """A folder at a URL.

    Args:
        url: of fsspec: a path, file://, s3://bucket/folder, gs://, ...
        options: of the file system, e.g. endpoint_url of S3.

    Raises:
        EpisodeToolError: no such protocol, or its package is missing.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None):
        import fsspec

        self.url = url
        try:
            # listings of yesterday would hide what another robot has pushed
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, **(options or {}))
        except (ImportError, ValueError) as error:
            raise EpisodeToolError(f"{url}: {error}") from None

    def has_chunk(self, chunk: Chunk) -> bool:
        """Whether the chunk is there, whole. Raises RemoteError."""
        with self._access("look at", chunk.sha256):
            try:
                return int(self._fs.info(self._chunk_path(chunk.sha256))["size"]) == chunk.size
            except FileNotFoundError:
                return False

    def put_chunk(self, data: bytes) -> Chunk:
        """Writes a chunk. Raises RemoteError."""
        chunk = Chunk(hashlib.sha256(data).hexdigest(), len(data))
        self._put(self._chunk_path(chunk.sha256), data)
        return chunk

    def chunk(self, chunk: Chunk) -> bytes:
        """The content of a chunk.

        Raises:
            RemoteError: it cannot be read.
            DamageError: it has another content than its name.
        """
        with self._access("read", chunk.sha256):
            data: bytes = self._fs.cat_file(self._chunk_path(chunk.sha256))
        if hashlib.sha256(data).hexdigest() != chunk.sha256:
            raise DamageError(f"{self.url}: chunk {chunk.sha256} has {len(data)} bytes of another content")
        return data

    def put_record(self, record: Record) -> None:
        """Writes or replaces the record of an episode. Raises RemoteError."""
        self._put(self._record_path(record.robot, record.episode_id), record.to_json())

    def record(self, robot: str, episode_id: str) -> Record | None:
        """The record of an episode; None where it has none. Raises RemoteError."""
        with self._access("read", f"{robot}/{episode_id}"):
            try:
                data = self._fs.cat_file(self._record_path(robot, episode_id))
            except FileNotFoundError:
                return None
        return parse_record(data, robot, episode_id, self.url)

    def episodes(self) -> Iterator[tuple[str, str]]:
        """(robot, episode id) of every record, sorted. Raises RemoteError."""
        with self._access("list", "episodes"):
            try:
                found = self._fs.find(f"{self._root}/episodes")
            except FileNotFoundError:
                found = []
        for path in sorted(found):
            robot, name = path.split("/")[-2:]
            if name.endswith(".json"):
                yield robot, name.removesuffix(".json")

    def _chunk_path(self, sha256: str) -> str:
        return f"{self._root}/chunks/{sha256[:2]}/{sha256}"

    def _record_path(self, robot: str, episode_id: str) -> str:
        return f"{self._root}/episodes/{robot}/{episode_id}.json"

    def _put(self, path: str, data: bytes) -> None:
        with self._access("write", path):
            if "file" in self._protocols():
                # an object store writes whole objects; a disk does not
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                temporary = f"{path}.new"
                self._fs.pipe_file(temporary, data)
                self._fs.mv(temporary, path)
            else:
                self._fs.pipe_file(path, data)

    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    @contextmanager
    def _access(self, verb: str, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system raises errors of its own
            raise RemoteError(f"{self.url}: cannot {verb} {what}: {type(error).__name__}: {error}") from error


def parse_record(data: bytes, robot: str, episode_id: str, source: str) -> Record:
    """Checks the content of a record's file. Raises DamageError with everything that is wrong."""
    faults = [] if len(data) <= _MAX_RECORD_BYTES else [f"has {len(data)} bytes"]
    try:
        document = json.loads(data)
        chunks = tuple(Chunk(str(part["sha256"]), int(part["size"])) for part in document["chunks"])
        names = ("robot", "episode_id", "file", "sha256", "annotation")
        record = Record(size=int(document["size"]), chunks=chunks, **{name: str(document[name]) for name in names})
        if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
            faults.append(f"schema is {document['schema']!r} {document['schema_version']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(f"{source}: record {robot}/{episode_id}: {type(error).__name__}: {error}") from None
    if (record.robot, record.episode_id) != (robot, episode_id):
        faults.append(f"is of {record.robot}/{record.episode_id}")
    faults += [
        f"{what} = {name!r} is no plain name"
        for what, name in (("robot", robot), ("episode_id", episode_id), ("file", record.file))
        if not _NAME.fullmatch(name)
    ]
    if not all(_SHA256.fullmatch(text) for text in (record.sha256, *(chunk.sha256 for chunk in chunks))):
        faults.append("a hash is not 64 hex digits")
    if sum(chunk.size for chunk in chunks) != record.size or any(not 0 < chunk.size <= CHUNK_BYTES for chunk in chunks):
        faults.append(f"size = {record.size} is not the sum of its chunks")
    if faults:
        raise DamageError(f"{source}: record {robot}/{episode_id}: {'; '.join(faults)}")
    return record
