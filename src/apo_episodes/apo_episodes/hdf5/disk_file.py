"""A file for h5py whose failed writes do not reach HDF5, which crashes when a file it cannot write is closed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class DiskFile(io.RawIOBase):
    """A file object for `h5py.File(DiskFile(path), "w")`. After the first failed write nothing more goes to the disk.

    What could not be written is kept in memory and read back from there, so that HDF5 can close the file. `check`
    raises unless the disk has everything.

    Args:
        path: created or emptied.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._position = 0
        self._size = 0
        self._unwritten: list[tuple[int, bytes]] = []
        self._error: OSError | None = None

    def check(self) -> None:
        """Raises the OSError of the first write that failed."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror)

    def sync(self) -> None:
        """Puts everything on the disk. Raises OSError."""
        self.check()
        os.fsync(self._descriptor)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += os.pwrite(self._descriptor, view[done:], self._position + done)
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._unwritten.append((self._position + done, bytes(view[done:])))
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._position))
        content = bytearray(os.pread(self._descriptor, wanted, self._position).ljust(wanted, b"\0"))
        for offset, data in self._unwritten:
            start, end = max(offset, self._position), min(offset + len(data), self._position + wanted)
            if start < end:
                content[start - self._position : end - self._position] = data[start - offset : end - offset]
        view[:wanted] = content
        self._position += wanted
        return wanted

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError as error:
                self._error = error
        return self._size

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new HDF5 file, and a function that raises OSError once the disk is full.

    That is to be called now and then, since what the disk does not take stays in memory; at the end it is called here.

    Raises:
        OSError: it cannot be opened or written.
    """
    with DiskFile(path) as disk:
        with h5py.File(disk, "w") as file:
            yield file, disk.check
        disk.check()
