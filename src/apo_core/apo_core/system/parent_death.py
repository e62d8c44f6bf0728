"""Ends a process together with the one that started it, even when that one is killed (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal

END_WITH_PARENT = "APO_END_WITH_PARENT"  # environment variable: "1" asks a child to end with its parent
_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals = signal.SIGINT) -> None:
    """Makes the kernel send this process a signal when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_with_parent_if_asked() -> None:
    """As `end_with_parent`, where the environment asks for it."""
    if os.environ.get(END_WITH_PARENT) == "1":
        end_with_parent()
