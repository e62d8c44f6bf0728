"""Every access to what lies at a URL.

    chunks/<first two digits>/<sha256>         at most CHUNK_BYTES of some file
    <folder>/.../<name>                        documents: small files that are replaced whole

A document is written after the chunks that it names. A chunk is named by its content, so that it may be written twice,
by anybody, in any order, and an upload goes on where it was cut off.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apo_core.errors import ApoError

CHUNK_BYTES = 8 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class StoreError(ApoError):
    """A URL, an option or a name that no store takes."""


class RemoteError(StoreError):
    """The store cannot be reached or answers with an error; later it may."""


class DamageError(RemoteError):
    """The store holds other content than was put there; another attempt reads the same."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file."""

    sha256: str
    size: int


def check_name(what: str, name: str) -> str:
    """A name that is safe in a path of any store.

    Raises:
        StoreError: letters, digits, `.`, `_` and `-` alone, and at most 128.
    """
    if not NAME.fullmatch(name):
        raise StoreError(f"{what} = {name!r} must have 1 to 128 letters, digits, '.', '_' or '-'")
    return name


def _state(entry: Mapping[str, Any]) -> str:
    """What an entry of a listing states of the content: its size, and a hash or time by the name of the file system."""
    names = ("ETag", "etag", "generation", "mtime", "LastModified", "updated", "created")
    known = next((str(entry[name]) for name in names if entry.get(name)), "")
    return f"{entry.get('size')} {known}" if known else ""


class ChunkStore:
    """A folder at a URL.

    Args:
        url: of fsspec: a path, file://, s3://bucket/folder, gs://, ...
        options: of the file system, e.g. endpoint_url of S3.

    Raises:
        StoreError: no such protocol, or its package is missing.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None):
        import fsspec

        self.url = url
        try:
            # listings of yesterday would hide what another robot has pushed
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, **(options or {}))
        except (ImportError, ValueError) as error:
            raise StoreError(f"{url}: {error}") from None

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

    def put_document(self, path: str, data: bytes) -> None:
        """Writes or replaces a document; `path` is one within the store, of plain names. Raises RemoteError."""
        self._put(f"{self._root}/{path}", data)

    def document(self, path: str) -> bytes | None:
        """The content of a document; None where there is none. Raises RemoteError."""
        with self._access("read", path):
            try:
                data: bytes = self._fs.cat_file(f"{self._root}/{path}")
            except FileNotFoundError:
                return None
        return data

    def documents(self, folder: str) -> list[str]:
        """Paths of everything below a folder of the store, within that folder, sorted. Raises RemoteError."""
        return list(self.listing(folder))

    def listing(self, folder: str) -> dict[str, str]:
        """The same paths, each with a text that changes when its content does; empty where the store has none.

        Raises:
            RemoteError: the store cannot be listed.
        """
        with self._access("list", folder):
            base = str(self._fs._strip_protocol(f"{self._root}/{folder}"))
            try:
                found = self._fs.find(base, detail=True)
            except FileNotFoundError:
                found = {}
        return {path[len(base) :].lstrip("/"): _state(found[path]) for path in sorted(found)}

    def _chunk_path(self, sha256: str) -> str:
        return f"{self._root}/chunks/{sha256[:2]}/{sha256}"

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
