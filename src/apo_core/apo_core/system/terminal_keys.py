"""Keys from the text of a terminal: the letters of an escape sequence (ECMA-48, section 5.4) are not keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

# ESC [ parameters final, or ESC O final; function keys of the Linux console are ESC [ [ and a letter
_SEQUENCE = re.compile(r"\x1b(?:\[\[[ -~]|\[[0-?]*[ -/]*[@-Z\\-~]|O[0-?]*[@-~])")
_BEGINNING = re.compile(r"\x1b(?:\[\[|\[[0-?]*[ -/]*|O[0-?]*)?")
_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
_PIECES_NS = 500_000_000  # within which the pieces of a sequence arrive; a beginning must not swallow later keys


class TerminalKeys:
    """Reads text as it arrives; a sequence may arrive in pieces."""

    def __init__(self) -> None:
        self._beginning, self._since_ns = "", 0

    def read(self, text: str, now_ns: int) -> Iterator[str]:
        """Keys, letters in lower case, arrows as `up`, `down`, `left`, `right`; any other sequence is none.

        Args:
            text: what has come since the last call.
            now_ns: steady time.
        """
        if now_ns - self._since_ns > _PIECES_NS:
            self._beginning = ""
        if not self._beginning:
            self._since_ns = now_ns
        text, self._beginning = self._beginning + text, ""
        position = 0
        while position < len(text):
            if sequence := _SEQUENCE.match(text, position):
                position, keys = sequence.end(), sequence.group()[2:]
                if keys in _ARROWS:
                    yield _ARROWS[keys]
            elif _BEGINNING.fullmatch(text, position):
                self._beginning = text[position:]
                return
            else:
                if text[position] != "\x1b":
                    yield text[position].lower()
                position += 1
