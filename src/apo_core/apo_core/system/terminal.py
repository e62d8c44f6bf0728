"""One live line on a terminal, plain lines elsewhere; a terminal given back as it was."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO


class LiveLine:
    """Progress for people: a line that is rewritten in place on a terminal, above it the notes that stay.

    Args:
        stream: where to write; None: standard output.
        live: rewrite one line; None: where `stream` is a terminal.
        repeat_s: without a live line, progress becomes a note after so many seconds; None: it is left out.
        clock: time [s] of an arbitrary start.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        live: bool | None = None,
        repeat_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._stream = sys.stdout if stream is None else stream
        self._live = self._stream.isatty() if live is None else live
        self._repeat_s, self._clock = repeat_s, clock
        self._repeated_s = -math.inf
        self._shown = False

    def update(self, text: str) -> None:
        """Replaces the live line, or repeats progress as a note."""
        if self._live:
            width = shutil.get_terminal_size((120, 24)).columns - 1
            self._stream.write(f"\r\x1b[2K{text[:width]}")
            self._stream.flush()
            self._shown = True
        elif self._repeat_s is not None and self._clock() - self._repeated_s >= self._repeat_s:
            self._repeated_s = self._clock()
            self.note(text)

    def note(self, text: str) -> None:
        """Writes lines that stay."""
        if self._shown:
            self._stream.write("\r\x1b[2K")
            self._shown = False
        self._stream.write(text + "\n")
        self._stream.flush()


@contextlib.contextmanager
def kept_terminal(stream: TextIO | None) -> Iterator[None]:
    """Gives the terminal back as it was, also when a program that changed it was killed; does nothing for a file."""
    before: list[Any] | None = None
    descriptor = -1
    if stream is not None:
        with contextlib.suppress(OSError, termios.error):  # no stream of the system, no terminal
            descriptor = stream.fileno()
            before = termios.tcgetattr(descriptor)
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, before)
