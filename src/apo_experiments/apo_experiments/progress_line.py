"""One line of progress for people."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """A line that is rewritten in place on a terminal, and repeated every few seconds elsewhere."""

    def __init__(self, stream=sys.stdout, every_s: float = 10.0):
        self._stream, self._every_s, self._last = stream, every_s, -every_s

    def update(self, text: str) -> None:
        if self._stream.isatty():
            print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)
        elif time.monotonic() - self._last >= self._every_s:
            self._last = time.monotonic()
            print(text, file=self._stream, flush=True)

    def done(self, text: str) -> None:
        print(f"\r\x1b[K{text}" if self._stream.isatty() else text, file=self._stream, flush=True)
