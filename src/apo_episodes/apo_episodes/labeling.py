"""Derives preference labels from recorded facts (c_t of arXiv 2506.07127). Pure; nothing recorded is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.actions import GRIPPER, SIZE, TWIST
from apo_core.config.parameters import parameter
from apo_core.errors import ConfigError
from apo_core.types import ControlSource, EpisodeKind, Outcome, StepLabel
from apo_episodes.takeover_windows import StepFacts, Window, disagreement_start, stall_start

FAILURE_RULES = ("last_k_undesirable", "leave_out", "keep")
UNDESIRABLE_RULES = ("last_k", "stalled", "disagreement")
_NO_FACTS = StepFacts()


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
    undesirable_rule: str = parameter(
        "last_k",
        "where the undesirable steps before a takeover begin: K steps back, where progress stopped, or where policy "
        "and operator part (docs/reference/methods.md)",
        choices=UNDESIRABLE_RULES,
    )
    stall_tolerance: float = parameter(
        0.004, "stalled: a gain above this is progress, unit of the task's remaining path", low=0.0, high=1e6
    )
    disagreement_tolerance: float = parameter(
        0.15, "disagreement: mean difference above this is one, actions scaled to -1..1", low=0.0, high=2.0
    )
    disagreement_steps: int = parameter(
        5, "disagreement: first steps of the intervention that show the operator's intent", low=1, high=1000
    )
    undesirable_max_steps: int = parameter(
        40, "stalled, disagreement: at most so many steps before a takeover", low=1, high=10000
    )

    rest_steps: int = parameter(
        10,
        "a rest of the operator in control, no motion and the gripper as it is, is left out where it is longer than so "
        "many steps; shorter pauses are part of the correction",
        low=0,
        high=1_000_000,
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


def undesirable_windows(
    sources: Sequence[str],
    rate_hz: float,
    rule: LabelRule,
    kind: str = EpisodeKind.INTERACTION,
    facts: StepFacts = _NO_FACTS,
) -> list[Window]:
    """The window of undesirable steps before each takeover, in order; a demonstration has none.

    A window never reaches over the start of the episode or an earlier intervention. Where facts that the rule needs
    are missing, it is that of last_k, and marked.

    Args:
        sources: who acted in each step (ControlSource).
        rate_hz: control rate, for K given in seconds.
        rule: the rule.
        kind: EpisodeKind.
        facts: what rules other than last_k need.
    """
    k = rule.window(rate_hz)
    if kind == EpisodeKind.DEMONSTRATION:
        return []
    windows = []
    for end in takeovers(sources):
        first = _segment_start(sources, end)
        found = _found_start(sources, first, end, rule, facts)
        if found is None:
            fallback = rule.undesirable_rule != "last_k"
            windows.append(Window(max(first, end - k), end, "last_k", fallback))
        else:
            windows.append(Window(max(found, end - rule.undesirable_max_steps), end, rule.undesirable_rule))
    return windows


def _segment_start(sources: Sequence[str], end: int) -> int:
    """The step after the last HUMAN step before `end`."""
    start = end
    while start > 0 and sources[start - 1] != ControlSource.HUMAN:
        start -= 1
    return start


def _found_start(sources: Sequence[str], first: int, end: int, rule: LabelRule, facts: StepFacts) -> int | None:
    """Where the rule's window in [first, end) begins; None for last_k and where a fact is missing."""
    acted = np.array([source == ControlSource.POLICY for source in sources[first:end]], bool)
    start = None
    if rule.undesirable_rule == "stalled" and facts.task_remaining is not None:
        start = stall_start(facts.task_remaining[first:end], acted, rule.stall_tolerance)
    elif (
        rule.undesirable_rule == "disagreement" and facts.policy_actions is not None and facts.human_actions is not None
    ):
        policy, steps = facts.policy_actions, _intervention(sources, end)[: rule.disagreement_steps]
        start = disagreement_start(
            policy[first:end], acted, facts.human_actions[steps], policy[steps], rule.disagreement_tolerance
        )
    return None if start is None else first + start


def _intervention(sources: Sequence[str], takeover: int) -> list[int]:
    """HUMAN steps from a takeover until the policy acts again."""
    steps = []
    for index in range(takeover, len(sources)):
        if sources[index] == ControlSource.POLICY:
            break
        if sources[index] == ControlSource.HUMAN:
            steps.append(index)
    return steps


def derive_labels(
    sources: Sequence[str],
    outcome: str,
    rate_hz: float,
    rule: LabelRule,
    kind: str = EpisodeKind.INTERACTION,
    facts: StepFacts = _NO_FACTS,
) -> list[StepLabel]:
    """Labels of one episode, one a step.

    A human step is CORRECTED, unless it is part of a long rest (`rest_steps`): that and HOLD are UNUSED. A policy step
    is UNDESIRABLE when it lies in the window before a takeover (`undesirable_windows`), else DESIRABLE. The steps of a
    demonstration are all CORRECTED.

    Args:
        sources: who acted in each step (ControlSource).
        outcome: Outcome of the episode.
        rate_hz: control rate, for a window given in seconds.
        rule: the rule.
        kind: EpisodeKind.
        facts: what rules other than last_k need.
    """
    labels = [
        {ControlSource.HUMAN: StepLabel.CORRECTED, ControlSource.HOLD: StepLabel.UNUSED}.get(
            ControlSource(source), StepLabel.DESIRABLE
        )
        for source in sources
    ]
    if facts.resting is not None and kind != EpisodeKind.DEMONSTRATION:
        for start, end in long_rests(facts.resting, rule):
            labels[start:end] = [StepLabel.UNUSED] * (end - start)
    windows = [(w.start, w.end) for w in undesirable_windows(sources, rate_hz, rule, kind, facts)]
    if not windows and outcome == Outcome.FAILURE and kind != EpisodeKind.DEMONSTRATION:
        if rule.failure_rule == "leave_out":
            return [StepLabel.UNUSED] * len(labels)
        if rule.failure_rule == "last_k_undesirable":
            windows = [(max(0, len(labels) - rule.window(rate_hz)), len(labels))]
    for start, end in windows:
        for index in range(start, end):
            if labels[index] == StepLabel.DESIRABLE:
                labels[index] = StepLabel.UNDESIRABLE
    return labels


def resting_steps(sources: Sequence[str], human: np.ndarray, executed: np.ndarray) -> np.ndarray:
    """Steps in which the operator in control lets go: bool (T,).

    Args:
        sources: who acted in each step (ControlSource).
        human, executed: float32 (T, A), the operator's action (NaN: none) and the executed one.
    """
    driven = np.array([source == ControlSource.HUMAN for source in sources], bool)
    if not len(driven) or human.shape[1] < SIZE:
        return np.zeros(len(driven), bool)
    before = np.concatenate([human[:1, GRIPPER], executed[:-1, GRIPPER]])
    return driven & (human[:, TWIST] == 0).all(axis=1) & (human[:, GRIPPER] == before)


def long_rests(resting: np.ndarray, rule: LabelRule) -> list[tuple[int, int]]:
    """The rests [start, end) that the rule leaves out, from `resting_steps` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], resting, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2) if end - start > rule.rest_steps]


def intervention_share(sources: Sequence[str]) -> float:
    """Human steps divided by all steps, 0..1; 0 for an empty episode."""
    return sum(source == ControlSource.HUMAN for source in sources) / len(sources) if len(sources) else 0.0
