"""What the child is to do, as the line that it reads first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Job:
    """Episodes to a store."""

    folder: str  # of the episodes
    url: str  # of the store
    robot: str  # name in the store
    interval_s: float  # between two looks
    options: Mapping[str, str] = field(default_factory=dict)  # of the store's file system

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Job:
        """The reverse of `to_json`."""
        return cls(**json.loads(line))
