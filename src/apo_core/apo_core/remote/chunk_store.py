"""Every access to what lies at a URL.

    store.json                                 of a store in a folder: its id, see `marker`
    chunks/<first two digits>/<sha256>         at most CHUNK_BYTES of some file
    <folder>/.../<name>                        documents: small files that are replaced whole

A document is written after the chunks that it names. A chunk is named by its content, so that it may be written twice,
by anybody, in any order, and an upload goes on where it was cut off.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apo_core.errors import ApoError
from apo_core.system.atomic_files import write_file

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
        self._required = ""  # document without which a folder is not the store
        try:
            # listings of yesterday would hide what another robot has pushed
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, **(options or {}))
        except (ImportError, ValueError) as error:
            raise StoreError(f"{url}: {error}") from None

    @property
    def is_folder(self) -> bool:
        """Whether it lies in a folder of this machine, which may be a share that is not mounted."""
        protocol = self._fs.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def require(self, path: str) -> None:
        """From now on nothing is written to a folder in which this document is not."""
        self._required = path

    def has_chunks(self) -> bool:
        """Whether any chunk was ever written. Raises RemoteError."""
        with self._access("look at", "chunks"):
            return bool(self._fs.exists(f"{self._root}/chunks"))

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

    def put_new_document(self, path: str, data: bytes) -> None:
        """Writes a document to a folder unless there is one, whoever writes it at the same time. Raises RemoteError."""
        with self._access("write", path):
            target = Path(f"{self._root}/{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
            try:
                write_file(temporary, data)
                try:
                    os.link(temporary, target)
                except OSError:  # it is there, or the file system has no links
                    if not target.exists():
                        os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

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
            if self.is_folder:
                if self._required and not self._fs.exists(f"{self._root}/{self._required}"):
                    raise OSError(f"{self._required} is gone: is the share mounted?")
                # an object store writes whole objects; a disk does not
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                temporary = f"{path}.new"
                self._fs.pipe_file(temporary, data)
                self._fs.mv(temporary, path)
            else:
                self._fs.pipe_file(path, data)

    @contextmanager
    def _access(self, verb: str, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system raises errors of its own
            raise RemoteError(f"{self.url}: cannot {verb} {what}: {type(error).__name__}: {error}") from error
