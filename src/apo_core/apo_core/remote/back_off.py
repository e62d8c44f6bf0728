"""What was rejected is brought again after more and more looks. Pure."""

from __future__ import annotations

from collections.abc import Hashable

_LONGEST = 64  # looks


class BackOff:
    """After each rejection a thing is left alone for 1, 2, 4 and at last 64 looks."""

    def __init__(self) -> None:
        self._look = 0
        self._rests: dict[Hashable, tuple[int, int]] = {}  # look of the next attempt, looks left out after that

    def next_look(self) -> None:
        """Begins a look."""
        self._look += 1

    def is_due(self, what: Hashable) -> bool:
        """Whether this look brings a thing."""
        return self._look >= self._rests.get(what, (0, 0))[0]

    def reject(self, what: Hashable) -> None:
        """A thing was rejected in this look."""
        length = self._rests.get(what, (0, 1))[1]
        self._rests[what] = (self._look + 1 + length, min(2 * length, _LONGEST))

    def accept(self, what: Hashable) -> None:
        """A thing has come."""
        self._rests.pop(what, None)

    def clear(self) -> None:
        """Everything is due at once."""
        self._rests.clear()
