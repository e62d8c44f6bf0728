"""A disk of its own for the episodes, which can be full and slow; needs root and a loop device."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

_TOOLS = ("mkfs.ext4", "mount", "umount", "fsfreeze")
_BYTES = 4 << 30
_FROZEN_S, _THAWED_S = 0.4, 0.05


def missing() -> str:
    """What a disk needs and this machine lacks; empty: nothing."""
    if os.geteuid() != 0:
        return "root"
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if not Path("/dev/loop-control").exists():
        lacking.append("/dev/loop-control")
    return ", ".join(lacking)


class Disk:
    """An ext4 file system in a file, mounted where the recorder writes.

    Args:
        image: file that holds it.
        folder: where it is mounted.
    """

    def __init__(self, image: Path, folder: Path):
        self._image, self._folder, self._filler = image, folder, folder / ".filler"
        self._slow: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def mount(self) -> None:
        """Makes and mounts it.

        Raises:
            OSError: a tool failed.
        """
        with self._image.open("wb") as file:
            file.truncate(_BYTES)
        self._folder.mkdir(parents=True, exist_ok=True)
        _run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(self._image))
        _run("mount", "-o", "loop", str(self._image), str(self._folder))
        shutil.rmtree(self._folder / "lost+found", ignore_errors=True)

    def unmount(self) -> None:
        """Takes it away; its content stays in the folder."""
        self.undo()
        kept = self._folder.with_name(f"{self._folder.name}.kept")
        shutil.copytree(self._folder, kept, symlinks=True, dirs_exist_ok=True)
        _run("umount", "-l", str(self._folder))
        self._folder.rmdir()
        kept.rename(self._folder)
        self._image.unlink()

    def fill(self) -> None:
        """Leaves no free byte."""
        with self._filler.open("wb") as file:
            space = os.statvfs(self._folder)
            for size in (space.f_bavail * space.f_frsize, 1 << 20, 1 << 16, 1 << 12):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                except OSError:
                    continue

    def slow(self) -> None:
        """Lets writes and syncs wait in most of the time."""
        stop = self._slow = threading.Event()

        def run() -> None:
            while not stop.is_set():
                _run("fsfreeze", "-f", str(self._folder))
                stop.wait(_FROZEN_S)
                _run("fsfreeze", "-u", str(self._folder))
                stop.wait(_THAWED_S)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def undo(self) -> None:
        """Ends what makes it full or slow."""
        if self._slow is not None and self._thread is not None:
            self._slow.set()
            self._thread.join()
            self._slow = self._thread = None
        self._filler.unlink(missing_ok=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
