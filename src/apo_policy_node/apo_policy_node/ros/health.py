"""What the policy node's diagnostics show of all that may be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from apo_core.ros.diagnostics import ERROR, OK, WARN
from apo_core.stream_watch import missed

WANTS_HELP = "requests help: uncertain of its actions"


class Served(Protocol):
    """What a server reports of itself; empty texts where nothing is wrong."""

    @property
    def fault(self) -> str: ...

    @property
    def store_fault(self) -> str: ...

    @property
    def help_wanted(self) -> bool: ...

    @property
    def adapter_warning(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PolicyHealth:
    """What the node sees around its server; empty texts where nothing is wrong."""

    second: str  # of a second stack in the domain
    streams: str  # why there are no or few observations
    frozen: str  # streams whose content stays the same while the arm moves

    @property
    def errors(self) -> list[str]:
        """For the log."""
        return [self.second] if self.second else []

    @property
    def warnings(self) -> list[str]:
        """For the log."""
        return [line for line in (missed(self.streams), self.frozen) if line]

    def shown(self, server: Served) -> tuple[bytes, str]:
        """Level and text: what keeps the policy from acting comes first."""
        wants_help = WANTS_HELP if server.help_wanted else ""
        trouble = (
            self.second
            or self.streams
            or server.fault
            or self.frozen
            or server.store_fault
            or wants_help
            or server.adapter_warning
        )
        return (ERROR if self.second else WARN if trouble else OK), trouble or "serves"
