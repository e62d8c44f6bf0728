"""Removes the shared memory that killed Fast DDS processes left behind: 16 MB each, which nothing else frees."""

from __future__ import annotations

import fcntl
import re
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
SETTLED_S = 10.0  # of a lock: a process that starts makes the file a moment before it locks it
_LOCK = re.compile(r"fastrtps_[0-9a-f]{16}_el")  # of a process's own segment; ports are shared, Fast DDS reuses them


def remove_dead_segments(folder: Path = SHARED_MEMORY, settled_s: float = SETTLED_S) -> int:
    """Removes the segments whose owner has died, which frees its lock; returns how many.

    Args:
        folder: where they are.
        settled_s: age of a lock that is looked at.
    """
    removed = 0
    for lock in folder.glob("fastrtps_*_el"):
        if not _LOCK.fullmatch(lock.name):
            continue
        try:
            if time.time() - lock.stat().st_mtime < settled_s:
                continue
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
                lock.unlink()
        except OSError:  # its owner lives or has just removed it, or it is another user's
            continue
        removed += 1
    return removed
