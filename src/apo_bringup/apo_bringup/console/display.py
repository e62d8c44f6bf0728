"""One live line on a terminal, plain lines elsewhere; a terminal given back as it was."""

from __future__ import annotations

import contextlib
import shutil
import termios
from collections.abc import Iterator
from typing import TextIO


class Console:
    """Shows progress.

    Args:
        stream: where to write.
        live: rewrite one line (a terminal); otherwise only notes are written.
    """

    def __init__(self, stream: TextIO, live: bool | None = None):
        self._stream = stream
        self._live = stream.isatty() if live is None else live
        self._shown = False

    def update(self, text: str) -> None:
        """Replaces the live line; nothing where there is no terminal."""
        if self._live:
            width = shutil.get_terminal_size((120, 24)).columns - 1
            self._stream.write(f"\r\x1b[2K{text[:width]}")
            self._stream.flush()
            self._shown = True

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
    try:
        fd = stream.fileno()
        before = termios.tcgetattr(fd)
    except (AttributeError, OSError, termios.error):  # no stream, none of the system, no terminal
        before = None
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, before)
