"""The stack's processes as the kernel shows them: who they are, what they hold, what they wait for (Linux)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def children() -> dict[int, list[int]]:
    """Process -> its children, of every process of this machine."""
    found: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found.setdefault(parent, []).append(int(folder.name))
    return found


def descendants(root: int) -> list[int]:
    """Every process below `root`."""
    tree, made, waiting = children(), [], [root]
    while waiting:
        below = tree.get(waiting.pop(), [])
        made += below
        waiting += below
    return made


def nodes_below(root: int, programs: Mapping[str, str]) -> dict[str, int]:
    """Node -> its process, below `root`.

    Args:
        root: process of `apo up`.
        programs: node -> installed program.
    """
    found = {}
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[:3]
            for name, program in programs.items():
                if program.encode() in words:
                    found[name] = pid
    return found


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal, or gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except (OSError, IndexError):
        return True


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM and not shared with files; 0 when it is gone."""
    try:
        fields = (_PROC / str(pid) / "statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


class ProcessorWait:
    """How long the threads of a process were ready to run and did not: those of its main thread and of the worst other.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int):
        self._pid = pid
        self._before = self._delays()

    def take(self) -> int:
        """Nanoseconds since the last call."""
        now, before = self._delays(), self._before
        self._before = now
        grown = {thread: delay - before.get(thread, 0) for thread, delay in now.items()}
        main = grown.pop(self._pid, 0)
        return main + max(grown.values(), default=0)

    def _delays(self) -> dict[int, int]:
        found = {}
        with contextlib.suppress(OSError):
            for thread in (_PROC / str(self._pid) / "task").iterdir():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    found[int(thread.name)] = int((thread / "schedstat").read_text().split()[1])
        return found
