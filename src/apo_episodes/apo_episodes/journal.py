"""The journal of an episode being recorded: each step is appended on arrival, so that a crash loses none.

A file of records, each a header (length and CRC-32 of the body, little endian) and a body: length of a JSON text, the
text, bytes that it describes. The first record describes the episode. A torn record ends the journal.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.errors import EpisodeFormatError

JOURNAL_VERSION = 1
SUFFIX = ".journal"
_MAGIC = b"apo.journal\n"
_HEADER = struct.Struct("<II")  # length of the body, CRC-32 of the body
_TEXT = struct.Struct("<I")  # length of the JSON text
_MAX_BODY = 1 << 31


def _dump(value: object) -> bytes:
    def plain(part: object) -> object:
        return part.tolist() if isinstance(part, np.ndarray | np.generic) else str(part)

    return json.dumps(value, default=plain, separators=(",", ":")).encode()


class JournalWriter:
    """Appends records; locked while it is open.

    Args:
        path: must not exist.
        head: first record.

    Raises:
        OSError: it exists or cannot be written.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]):
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._write([_MAGIC])
            self.append({**head, "journal_version": JOURNAL_VERSION}, [])
        except OSError:
            os.close(self._descriptor)
            raise

    def append(self, row: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        """Adds a record; it survives a killed process from here on, a power failure from `sync` on.

        Raises:
            OSError: the disk is full or gone.
        """
        text = _dump(row)
        parts = [_TEXT.pack(len(text)), text, *blobs]
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        self._write([_HEADER.pack(sum(map(len, parts)), crc), *parts])

    def _write(self, parts: list[bytes]) -> None:
        wanted = sum(map(len, parts))
        done = os.writev(self._descriptor, parts)
        if done < wanted:  # a nearly full disk accepts a part; writing the rest raises the error
            rest = memoryview(b"".join(parts))[done:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """Puts everything on the disk. Raises OSError."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class JournalReader:
    """Reads the whole records of a journal.

    Args:
        path: of a journal that nobody writes any more.

    Raises:
        EpisodeFormatError: no journal, of a newer version, or still being written.
    """

    def __init__(self, path: Path):
        self._path = Path(path)
        try:
            self._file = self._path.open("rb")
            self._size = os.fstat(self._file.fileno()).st_size
            try:
                fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EpisodeFormatError(f"{path}: is still being recorded") from None
            if self._file.read(len(_MAGIC)) != _MAGIC:
                raise EpisodeFormatError(f"{path}: not a journal of a recording")
            self.head, _ = self._record() or ({}, b"")
            version = self.head.get("journal_version")
            if not isinstance(version, int):
                raise EpisodeFormatError(f"{path}: was cut off before its first record ended")
            if version > JOURNAL_VERSION:
                raise EpisodeFormatError(
                    f"{path}: journal version {version} is newer than {JOURNAL_VERSION}, the last one known: update apo"
                )
        except OSError as error:
            raise EpisodeFormatError(f"{path}: cannot be read: {error}") from None

    def _record(self) -> tuple[dict[str, Any], bytes] | None:
        header = self._file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        length, crc = _HEADER.unpack(header)
        if not _TEXT.size <= length <= min(_MAX_BODY, self._size - self._file.tell()):
            return None
        body = self._file.read(length)
        if len(body) < length or zlib.crc32(body) != crc:
            return None
        (size,) = _TEXT.unpack_from(body)
        try:
            row = json.loads(body[_TEXT.size : _TEXT.size + size])
        except ValueError:
            return None
        return (row, body[_TEXT.size + size :]) if isinstance(row, dict) else None

    def records(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """(row, bytes) of each whole record after the first."""
        while (record := self._record()) is not None:
            yield record

    def close(self) -> None:
        self._file.close()
