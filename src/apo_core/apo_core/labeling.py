"""Derives preference labels from recorded facts (c_t of arXiv 2506.07127). Pure; nothing recorded is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apo_core.config import parameter
from apo_core.errors import ConfigError
from apo_core.types import ControlSource, EpisodeKind, Outcome, StepLabel

FAILURE_RULES = ("last_k_undesirable", "leave_out", "keep")


@dataclass(frozen=True, slots=True)
class LabelRule:
    """The named rule that turns facts into labels."""

    undesirable_steps: int = parameter(10, "K: policy steps before a takeover that are undesirable", low=0, high=10000)
    undesirable_seconds: float = parameter(
        0.0, "K in seconds; above 0 it replaces undesirable_steps", low=0.0, high=3600.0
    )
    failure_rule: str = parameter(
        "last_k_undesirable",
        "a failed episode without takeover: its last K steps undesirable, left out, or kept as desirable",
        choices=FAILURE_RULES,
    )

    def window(self, rate_hz: float) -> int:
        """K in control steps.

        Raises:
            ConfigError: a rate that is not positive.
        """
        if rate_hz <= 0:
            raise ConfigError("labels", [f"rate_hz = {rate_hz} must be above 0"])
        if self.undesirable_seconds > 0:
            return max(1, round(self.undesirable_seconds * rate_hz))
        return self.undesirable_steps


def takeovers(sources: Sequence[str]) -> list[int]:
    """Indices at which the operator takes control: a HUMAN step whose last moving predecessor was not HUMAN.

    HOLD steps in between do not end an intervention; one at the very start is a takeover as well.
    """
    starts, previous = [], None
    for index, source in enumerate(sources):
        if source == ControlSource.HOLD:
            continue
        if source == ControlSource.HUMAN and previous != ControlSource.HUMAN:
            starts.append(index)
        previous = source
    return starts


def derive_labels(
    sources: Sequence[str],
    outcome: str,
    rate_hz: float,
    rule: LabelRule,
    kind: str = EpisodeKind.INTERACTION,
) -> list[StepLabel]:
    """Labels of one episode, one a step.

    A human step is CORRECTED, HOLD is UNUSED, and a policy step is UNDESIRABLE when it is one of the K control steps
    before a takeover, else DESIRABLE. The window stops at the start of the episode and at an earlier intervention.
    The steps of a demonstration are all CORRECTED.

    Args:
        sources: who acted in each step (ControlSource).
        outcome: Outcome of the episode.
        rate_hz: control rate, for a window given in seconds.
        rule: the rule.
        kind: EpisodeKind.
    """
    window = rule.window(rate_hz)
    labels = [
        {ControlSource.HUMAN: StepLabel.CORRECTED, ControlSource.HOLD: StepLabel.UNUSED}.get(
            ControlSource(source), StepLabel.DESIRABLE
        )
        for source in sources
    ]
    if kind == EpisodeKind.DEMONSTRATION:
        return labels
    ends = takeovers(sources)
    if not ends and outcome == Outcome.FAILURE:
        if rule.failure_rule == "leave_out":
            return [StepLabel.UNUSED] * len(labels)
        if rule.failure_rule == "last_k_undesirable":
            ends = [len(labels)]
    for end in ends:
        for index in range(end - 1, max(end - 1 - window, -1), -1):
            if labels[index] == StepLabel.CORRECTED:
                break
            if labels[index] == StepLabel.DESIRABLE:
                labels[index] = StepLabel.UNDESIRABLE
    return labels


def intervention_share(sources: Sequence[str]) -> float:
    """Human steps divided by all steps, 0..1; 0 for an empty episode."""
    return sum(source == ControlSource.HUMAN for source in sources) / len(sources) if len(sources) else 0.0
