"""How long a policy drove, how each drive ended, and which of its chunks came before trouble. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from apo_core.types import ControlSource, Outcome


class End(StrEnum):
    """How a drive ended."""

    TAKEOVER = "takeover"
    FAILURE = "failure"  # of the episode
    SUCCESS = "success"  # of the episode


@dataclass(frozen=True, slots=True)
class Span:
    """Steps [start, end) in which the operator did not drive."""

    start: int
    end: int
    ended_by: End


@dataclass(frozen=True, slots=True)
class Drive:
    """The chunks of one span; n of them."""

    stamps_ns: np.ndarray  # int64 (n,), of their observations, rising
    features: np.ndarray  # float64 (n, F), see apo_core.help.features
    end_ns: int  # of the step that ended it: the takeover, or the last step of the episode
    ended_by: End
    driven_s: float  # time in which the policy's actions were executed

    def near_trouble(self, horizon_s: float) -> np.ndarray:
        """Chunks at most `horizon_s` before the takeover or failure that ended the drive: bool (n,)."""
        if self.ended_by is End.SUCCESS:
            return np.zeros(len(self.stamps_ns), bool)
        near: np.ndarray = self.end_ns - self.stamps_ns <= horizon_s * 1e9
        return near


@dataclass(frozen=True, slots=True)
class DrivenEpisode:
    """What is learned from one episode."""

    episode_id: str
    drives: tuple[Drive, ...]
    is_unaided_success: bool


def spans(sources: Sequence[str], outcome: Outcome) -> list[Span]:
    """Spans without the operator in an episode of known outcome; a span without a policy step is left out.

    Args:
        sources: who acted in each step (ControlSource).
        outcome: SUCCESS or FAILURE.

    Raises:
        ValueError: the outcome is unknown.
    """
    if outcome is Outcome.UNLABELED:
        raise ValueError("an episode without an outcome does not show how its last drive ended")
    found, start = [], 0
    for step, source in enumerate([*sources, ControlSource.HUMAN]):
        if source != ControlSource.HUMAN:
            continue
        if ControlSource.POLICY in sources[start:step]:
            last = step == len(sources)
            found.append(Span(start, step, End(outcome.lower()) if last else End.TAKEOVER))
        start = step + 1
    return found
