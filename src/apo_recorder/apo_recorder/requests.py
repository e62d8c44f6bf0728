"""Requests to the recorder: ids, tags, outcomes, and episodes that follow the task. Pure; time is passed in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apo_core.types import Outcome, TaskProgress

DISCARD = "DISCARD"


def episode_id(utc: datetime, task: str) -> str:
    """Sortable by time, unique to the microsecond, usable as a file name."""
    return f"{utc:%Y%m%dT%H%M%S_%f}_{re.sub('[^A-Za-z0-9-]+', '-', task).strip('-') or 'task'}"[:128]


def parse_tags(tags: Sequence[str]) -> dict[str, str]:
    """{key: value} of "key=value" texts.

    Raises:
        ValueError: a text without a key or "=".
    """
    pairs = [tag.partition("=") for tag in tags]
    wrong = [tag for tag, (key, equals, _) in zip(tags, pairs, strict=True) if not (key and equals)]
    if wrong:
        raise ValueError(f"tags {wrong} must be of the form key=value")
    return {key: value for key, _, value in pairs}


def parse_outcome(text: str) -> Outcome | None:
    """The outcome of an end request; None for DISCARD.

    Raises:
        ValueError: anything else.
    """
    if text == DISCARD:
        return None
    try:
        return Outcome(text)
    except ValueError:
        raise ValueError(f"outcome = {text!r} must be one of {[*map(str, Outcome), DISCARD]}") from None


@dataclass(frozen=True, slots=True)
class AutoStart:
    """Begin an episode."""

    seed: int


@dataclass(frozen=True, slots=True)
class AutoEnd:
    """End the running episode; see EpisodeState.request_end."""

    outcome: Outcome
    reason: str
    truncated: bool
    until_ns: int


class AutoEpisodes:
    """Makes every trial of task/status an episode."""

    def __init__(self) -> None:
        self._trial: int | None = None  # the one being recorded
        self._seen: int | None = None
        self._step = 0  # of that one

    def on_progress(self, progress: TaskProgress) -> list[AutoStart | AutoEnd]:
        """Actions that a status causes, in order."""
        actions: list[AutoStart | AutoEnd] = []
        if progress.trial == self._seen and progress.step < self._step:
            self._seen = None  # a simulation that was started again counts its trials anew
        if self._trial is not None and self._seen != progress.trial:
            actions.append(AutoEnd(Outcome.UNLABELED, "trial_abandoned", False, 0))
            self._trial = None
        if progress.running and progress.trial != self._seen:
            actions.append(AutoStart(progress.seed))
            self._trial = progress.trial
        elif not progress.running and progress.trial == self._trial:
            outcome = Outcome.SUCCESS if progress.success else Outcome.FAILURE
            reason = "task_success" if progress.success else "step_limit" if progress.truncated else "task_stopped"
            actions.append(AutoEnd(outcome, reason, progress.truncated, progress.last_observation_stamp_ns))
            self._trial = None
        self._seen, self._step = progress.trial, progress.step
        return actions
