"""States of a training run and of the trainer node, for everything that reads them. No torch, no ROS."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class RunState(enum.StrEnum):
    """How a training run ended, as result.json and the `result` message of the program have it."""

    PUBLISHED = "PUBLISHED"
    REJECTED = "REJECTED"  # by the gate
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    DONE = "DONE"  # a process that is not the main one, which evaluates and publishes

    @property
    def is_final(self) -> bool:
        """Whether a run cannot be resumed."""
        return self in (RunState.PUBLISHED, RunState.REJECTED)


class TrainerState(enum.StrEnum):
    """State of the trainer node: the constants of `apo_interfaces/TrainerStatus`."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    PUBLISHED = "PUBLISHED"
    REJECTED = "REJECTED"  # by the gate
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @classmethod
    def after(cls, end: str) -> TrainerState:
        """The state when a run has ended in a RunState; FAILED for an unknown one."""
        return _ENDS.get(end, cls.FAILED)


_ENDS: Mapping[str, TrainerState] = {
    RunState.PUBLISHED: TrainerState.PUBLISHED,
    RunState.REJECTED: TrainerState.REJECTED,
    RunState.INTERRUPTED: TrainerState.CANCELLED,
}
