"""What the server may do with robots; `console_node.py` does it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    accepted: bool
    message: str = ""


class Robots(Protocol):
    """The robots of a console, by their place in the list of its parameter. Methods may be called from any thread."""

    def count(self) -> int:
        """How many."""

    def states(self, now_s: float) -> list[dict[str, Any]]:
        """The state of each, as JSON holds it; `now_s` is steady time."""

    def drive(self, robot: int, holder: str, axes: Sequence[float], held: bool, events: Sequence[str]) -> None:
        """Publishes a sample of the device `browser`."""

    def let_go(self, robot: int, why: str) -> None:
        """Publishes that nobody drives; `why` is for the log."""

    def stop(self, robot: int) -> Future[Answer]:
        """Requests an emergency stop by every way there is."""

    def perform(self, robot: int, action: str, fields: dict[str, Any], viewer: str) -> Future[Answer]:
        """Does an action of `protocol.ACTIONS` for a viewer, by a service of a node or on files."""
