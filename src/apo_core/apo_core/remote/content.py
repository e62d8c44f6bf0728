"""A file in a store: its chunks in order, sent and received."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from apo_core.remote.chunk_store import CHUNK_BYTES, Chunk, ChunkStore, DamageError
from apo_core.remote.patience import Patience

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    size: int
    sha256: str
    chunks: tuple[Chunk, ...]  # in the order of the file


def send(file: BinaryIO, store: ChunkStore, patience: Patience, chunk_bytes: int) -> tuple[Content, int]:
    """Brings the rest of an open file to a store, without the chunks that are there.

    Args:
        file: to its end.
        store: where to.
        patience: how long an access to the store is tried again.
        chunk_bytes: at most `CHUNK_BYTES`.

    Returns:
        The content, and how many bytes of it were sent.

    Raises:
        RemoteError: the store fails for longer than the patience.
        OSError: the file cannot be read.
    """
    whole, chunks, sent = hashlib.sha256(), list[Chunk](), 0
    while data := file.read(chunk_bytes):
        whole.update(data)
        chunk = Chunk(hashlib.sha256(data).hexdigest(), len(data))
        if not patience.call(partial(store.has_chunk, chunk)):
            patience.call(partial(store.put_chunk, data))
            sent += len(data)
        chunks.append(chunk)
    return Content(sum(chunk.size for chunk in chunks), whole.hexdigest(), tuple(chunks)), sent


def receive(content: Content, store: ChunkStore, patience: Patience, file: BinaryIO, what: str) -> None:
    """Writes a file that a store has.

    Args:
        content: of the file.
        store: where from.
        patience: how long an access to the store is tried again.
        file: takes the bytes, also of content that proves damaged.
        what: names the file in errors.

    Raises:
        RemoteError: the store fails for longer than the patience.
        DamageError: a chunk, or all of them together, are not what was sent.
        OSError: the file cannot be written.
    """
    whole = hashlib.sha256()
    for chunk in content.chunks:
        data = patience.call(partial(store.chunk, chunk))
        whole.update(data)
        file.write(data)
    if whole.hexdigest() != content.sha256:
        raise DamageError(f"{store.url}: the chunks of {what} make another file")


def parse_content(document: Mapping[str, Any]) -> Content:
    """The content that a document describes. Raises ValueError, KeyError, TypeError, AttributeError."""
    chunks = tuple(Chunk(str(part["sha256"]), int(part["size"])) for part in document["chunks"])
    return Content(int(document["size"]), str(document["sha256"]), chunks)


def content_faults(content: Content) -> list[str]:
    """What is wrong with a content that came from a store."""
    faults = []
    if not all(_SHA256.fullmatch(text) for text in (content.sha256, *(chunk.sha256 for chunk in content.chunks))):
        faults.append("a hash is not 64 hex digits")
    sizes = [chunk.size for chunk in content.chunks]
    if sum(sizes) != content.size or any(not 0 < size <= CHUNK_BYTES for size in sizes):
        faults.append(f"size = {content.size} is not the sum of its chunks")
    return faults
