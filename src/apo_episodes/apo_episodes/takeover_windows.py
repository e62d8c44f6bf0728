"""Where the policy went wrong before a takeover, found from recorded facts. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core.contract.specs import ActionSpec


@dataclass(frozen=True, slots=True)
class StepFacts:
    """Facts that a rule may need beside the sources; T steps, None where a file does not have it."""

    task_remaining: np.ndarray | None = None  # float32 (T,), path left to the goal in the task's unit; NaN: unknown
    policy_actions: np.ndarray | None = None  # float32 (T, A), -1..1; also while the operator drove; NaN: none
    human_actions: np.ndarray | None = None  # float32 (T, A), -1..1; NaN: none
    resting: np.ndarray | None = None  # bool (T,), of `labeling.resting_steps`

    @classmethod
    def of(
        cls,
        limits: ActionSpec,
        policy_actions: np.ndarray,
        human_actions: np.ndarray,
        task_remaining: np.ndarray | None = None,
    ) -> StepFacts:
        """The facts of recorded steps: float32 (T, A) actions in contract units, scaled by their limits here."""
        low, high = np.array(limits.low, np.float64), np.array(limits.high, np.float64)

        def scaled(actions: np.ndarray) -> np.ndarray:
            # what exceeds the contract was executed at its limit
            return np.clip(2 * (actions - low) / (high - low) - 1, -1, 1)

        return cls(task_remaining, scaled(policy_actions), scaled(human_actions))


@dataclass(frozen=True, slots=True)
class Window:
    """The steps [start, end) before the takeover at `end`; policy steps in it are undesirable."""

    start: int
    end: int
    rule: str  # by which it was found
    fallback: bool = False  # the rule in use lacked a fact, so `rule` is last_k

    @property
    def steps(self) -> int:
        """Its length in control steps, HOLD included."""
        return self.end - self.start


def stall_start(remaining: np.ndarray, acted: np.ndarray, tolerance: float) -> int | None:
    """Where progress stopped: the step after the one at which the path left was last improved.

    An improvement is a value more than `tolerance` below the value of the improvement before it, so slow progress
    counts and jitter does not. The first known value is the first improvement.

    Args:
        remaining: (n,) path left in the steps since the start or the previous intervention; NaN: unknown.
        acted: bool (n,), the policy acted.
        tolerance: in the unit of `remaining`.

    Returns:
        0..n; None where fewer than two values are known, or not that of the last policy step.
    """
    steps, known = np.flatnonzero(acted), np.flatnonzero(np.isfinite(remaining))
    if len(known) < 2 or not len(steps) or not np.isfinite(remaining[steps[-1]]):
        return None
    values = remaining.astype(np.float64)
    last = known[0]
    for step in known[1:]:
        if values[last] - values[step] > tolerance:
            last = step
    return int(last) + 1


def disagreement_start(
    policy: np.ndarray, acted: np.ndarray, human: np.ndarray, shadow: np.ndarray, tolerance: float
) -> int | None:
    """Where the policy's actions and the operator's part, seen back from the takeover.

    The operator's intent is the mean of the operator's actions over the steps in dispute: those whose shadow action
    differs, or has none. Two actions differ when their mean absolute difference over dimensions is above `tolerance`.
    Of the policy steps before the takeover those count that differ from the intent, back to the first that does not.

    Args:
        policy: (n, A) the policy's actions in the steps since the start or the previous intervention, -1..1.
        acted: bool (n,), the policy acted; other steps are passed over.
        human: (m, A) the operator's first actions of the intervention, -1..1.
        shadow: (m, A) the policy's actions in the same steps; NaN: none.
        tolerance: 0..2.

    Returns:
        0..n, n where nothing is in dispute; None where no action of the operator is known, or not that of the last
        policy step.
    """
    steps, known = np.flatnonzero(acted), np.isfinite(human).all(axis=1)
    if not known.any() or not len(steps) or not np.isfinite(policy[steps[-1]]).all():
        return None
    start = len(policy)
    disputed = known & ~_agree(shadow, human, tolerance)
    if disputed.any():
        intent = human[disputed].mean(axis=0)
        for step in steps[::-1]:
            if not np.isfinite(policy[step]).all() or _agree(policy[step], intent, tolerance):
                break
            start = int(step)
    return start


def _agree(actions: np.ndarray, others: np.ndarray, tolerance: float) -> np.ndarray:
    """False for an action that is NaN."""
    return np.abs(actions - others).mean(axis=-1) <= tolerance


def fitted_window(windows: Sequence[Window]) -> int | None:
    """K from data: the median length of windows, at least 1; None when no rule found any.

    arXiv 2506.07127 leaves K to each task. Windows that only fell back to a fixed K do not count.
    """
    lengths = [window.steps for window in windows if not window.fallback]
    return max(1, round(statistics.median(lengths))) if lengths else None


def window_statistics(windows: Sequence[Window], rule: str) -> dict[str, Any]:
    """Plain data: the rule, how many windows, their shortest, median and longest length, and how many fell back."""
    lengths = [window.steps for window in windows]
    return {
        "rule": rule,
        "number": len(windows),
        "min_steps": min(lengths, default=None),
        "median_steps": float(statistics.median(lengths)) if lengths else None,
        "max_steps": max(lengths, default=None),
        "fallbacks": sum(window.fallback for window in windows),
    }
