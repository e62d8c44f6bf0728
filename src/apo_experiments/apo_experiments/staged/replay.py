"""Trials of staged promotion, replayed from recorded episodes with the code that decides on the robot. Pure.

In simulated time a policy's episode depends on its seed alone. So a trial in which seed and policy are drawn before
each episode can be run as often as wanted from one recorded episode of each policy and seed, and whether the candidate
really succeeds more often on these seeds is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from apo_core.adapters.trial import ShadowCounts, Stage, Trial, TrialLimits, TrialOutcome
from apo_core.evidence import Finding

if TYPE_CHECKING:
    from apo_experiments.loop.simulated_loop import TrialFacts

_BASE, _CANDIDATE = 0, 1  # numbers of the adapters in a replayed trial
_UTC = "2000-01-01T00:00:00+00:00"  # nothing depends on it


class Ending(StrEnum):
    """How a trial ended; all but the first are a rollback."""

    PROMOTED = "promoted"
    WORSE = "worse"  # the evidence has it succeed less often
    TAKEOVERS = "takeovers"  # so many of its episodes in a row had one
    UNDECIDED = "undecided"  # after the most episodes that a trial may take


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a trial."""

    ending: Ending
    episodes: int
    steps: int  # that the operator watched
    human_steps: int  # of them, those that the operator drove


def is_unaided(episode: TrialFacts) -> bool:
    """Whether it succeeded without a takeover, which is what a trial counts."""
    return episode.success and not episode.takeovers


def replay(
    candidate: Sequence[TrialFacts], base: Sequence[TrialFacts], limits: TrialLimits, rng: np.random.Generator
) -> Replayed:
    """A trial from its first drawn episode to its decision; the shadow stage, which decides nothing, is passed over.

    Args:
        candidate, base: an episode of each of the same seeds, at least one.
        limits: of the trial.
        rng: draws policy and seed of each episode, the seeds with replacement.

    Raises:
        ValueError: the seeds differ, or there are none.
    """
    seeds = [episode.seed for episode in base]
    if not seeds or seeds != [episode.seed for episode in candidate]:
        raise ValueError("candidate and base need an episode of each of the same seeds")
    recorded = {_CANDIDATE: candidate, _BASE: base}
    trial = Trial(_CANDIDATE, _BASE, limits=replace(limits, shadow_steps=0)).shadowed(ShadowCounts())
    steps = human_steps = 0
    while trial.is_open:
        trial = trial.drawn(float(rng.random()), _UTC)
        version, name = trial.episodes[-1].version, str(len(trial.episodes))
        episode = recorded[version][int(rng.integers(len(seeds)))]
        outcome = TrialOutcome.SUCCESS if episode.success else TrialOutcome.FAILURE
        trial = trial.begun(name).ended(name, outcome, episode.takeovers, _UTC, (version,))
        steps, human_steps = steps + episode.steps, human_steps + episode.human_steps
    return Replayed(_ending(trial), len(trial.episodes), steps, human_steps)


def _ending(trial: Trial) -> Ending:
    """In the order in which a trial looks for reasons to end."""
    if trial.stage is Stage.PROMOTED:
        return Ending.PROMOTED
    if trial.takeovers_in_a_row >= trial.limits.trial_takeovers:
        return Ending.TAKEOVERS
    return Ending.WORSE if trial.evidence.finding(trial.limits.trial_alpha) is Finding.WORSE else Ending.UNDECIDED
