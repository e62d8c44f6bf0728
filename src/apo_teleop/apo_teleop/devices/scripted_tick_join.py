"""Puts together the messages of one simulation tick, which all carry the same stamp. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_OPEN_TICKS = 4  # older incomplete ticks are forgotten


class TickJoin:
    """Collects one value per name and stamp, in any order.

    Args:
        names: what a complete tick has.
    """

    def __init__(self, names: Iterable[str]):
        self._names = frozenset(names)
        self._open: dict[int, dict[str, Any]] = {}

    def add(self, name: str, stamp_ns: int, value: Any) -> dict[str, Any] | None:
        """Adds a value; returns all of its tick when it was the last one missing."""
        parts = self._open.setdefault(stamp_ns, {})
        parts[name] = value
        if parts.keys() == self._names:
            return self._open.pop(stamp_ns)
        while len(self._open) > _OPEN_TICKS:
            del self._open[next(iter(self._open))]
        return None
