"""Files and folders that a crash leaves whole: readers find the old content or the new one, after a power cut as well.

Everything that these functions report as done is on the disk. All of them raise OSError.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_LIBC = ctypes.CDLL(None, use_errno=True)  # Python has no renameat2
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write_file(path: Path, data: bytes) -> None:
    """Writes a new or emptied file; its name is on the disk once its folder is synced."""
    with open(path, "wb") as file:
        file.write(data)
        _flush(file)


@contextmanager
def replacing(path: Path, temporary: Path | None = None) -> Iterator[BinaryIO]:
    """An open, empty file whose content replaces that of `path` when the block ends.

    Args:
        path: new, or replaced as a whole; as it was when the block or the disk fails.
        temporary: on the same file system, used by no other writer; None: `<path>.new`.
    """
    temporary = temporary or path.with_name(f"{path.name}.new")
    try:
        with open(temporary, "wb") as file:
            yield file
            _flush(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def replace_file(path: Path, data: bytes | str, temporary: Path | None = None) -> None:
    """Replaces the content of a file as a whole; arguments as of `replacing`, text as UTF-8."""
    with replacing(path, temporary) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def move(source: Path, target: Path) -> None:
    """Renames a file or a folder that is on the disk already, within one file system."""
    os.rename(source, target)
    sync(target.parent)


def exchange(one: Path, other: Path) -> None:
    """Two names of one file system exchange what they stand for, at once; FileNotFoundError where one is gone.

    Other errors mean that the file system or the kernel cannot (renameat2(2), RENAME_EXCHANGE). Sync the folders then.
    """
    arguments = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if _LIBC.renameat2(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def sync(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
