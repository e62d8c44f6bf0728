"""Ends a process together with the one that started it, even when that one is killed (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

END_WITH_PARENT = "APO_END_WITH_PARENT"  # environment variable: "1" asks a child to end with its parent
STARTED_BY = "APO_STARTED_BY"  # environment variable: process that is the child's parent, or its parent's parent
_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals = signal.SIGINT) -> None:
    """Makes the kernel send this process a signal when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_with_parent_if_asked(number: signal.Signals = signal.SIGINT) -> None:
    """As `end_with_parent`, where the environment asks for it.

    Raises:
        SystemExit: the parent has ended before: the kernel sends no signal then. Found where STARTED_BY is set.
    """
    if os.environ.get(END_WITH_PARENT) == "1":
        end_with_parent(number)
        started_by = os.environ.get(STARTED_BY, "")
        if started_by.isdigit() and int(started_by) not in _parents():
            raise SystemExit("the process that started this one has ended")


def _parents() -> tuple[int, int]:
    """The parent of this process and the parent's; 0 for one that is gone."""
    parent = os.getppid()
    try:
        grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        grandparent = 0
    return parent, grandparent
