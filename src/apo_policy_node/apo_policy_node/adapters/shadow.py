"""A candidate's actions beside those of the policy that serves and of the operator, to the same observations."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from apo_core.adapters.trial import ShadowCounts
from apo_core.contract.contract import Contract
from apo_core.types import Observation
from apo_policy_node.inference.runner import Answer, Cause

_KEPT = 64  # observations, answers and operator's actions that wait for their counterpart


class Shadow:
    """Pairs observations, answers and commands by stamp; the newest observation is answered, the others are skipped.

    Thread-safe: `observed`, `answered` and `driven` return at once, `step` predicts in the thread that calls it.

    Args:
        contract: whose action ranges are the measure of distances.
        wake: called when `step` has something to do; must return at once.
    """

    def __init__(self, contract: Contract, wake: Callable[[], None]):
        low, high = np.array(contract.action.low), np.array(contract.action.high)
        self._half_range = (high - low) / 2.0
        self._wake = wake
        self._lock = threading.Lock()
        self._active = False
        self._counts = ShadowCounts()
        self._observations: dict[int, Observation] = {}
        self._answers: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._driven: dict[int, np.ndarray] = {}
        self._waiting: tuple[Observation, np.ndarray] | None = None

    def start(self, counts: ShadowCounts) -> None:
        """Begins to count, after what was counted before."""
        with self._lock:
            self._active, self._counts = True, counts
            self._clear()

    def stop(self) -> None:
        """Ends the counting."""
        with self._lock:
            self._active = False
            self._clear()

    def observed(self, observation: Observation) -> None:
        """The policy is asked for actions."""
        with self._lock:
            if self._active:
                _keep(self._observations, observation.stamp_ns, observation)

    def answered(self, answer: Answer) -> None:
        """The policy has answered; a chunk of before counts no second time."""
        chunk = answer.chunk
        if chunk is None or answer.cause is Cause.IN_FORCE:
            return
        with self._lock:
            observation = self._observations.pop(chunk.observation_stamp_ns, None)
            if observation is None:
                return
            idle, self._waiting = self._waiting is None, (observation, chunk.values[0])
        if idle:
            self._wake()

    def driven(self, observation_stamp_ns: int, action: np.ndarray) -> None:
        """The operator has answered an observation.

        Args:
            observation_stamp_ns: of the observation.
            action: (A,) contract units.
        """
        with self._lock:
            if self._active:
                _keep(self._driven, observation_stamp_ns, action)

    def step(self, first_action: Callable[[Observation], np.ndarray]) -> ShadowCounts:
        """Answers the newest observation as the candidate; returns all counts.

        Args:
            first_action: the candidate's action (A,), contract units; what it raises is raised here.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            observation, served = waiting
            action = first_action(observation)
            with self._lock:
                _keep(self._answers, observation.stamp_ns, (action, served))
                self._counts = _with_step(self._counts, self._distance(action, served))
        with self._lock:
            for stamp_ns in sorted(self._answers.keys() & self._driven.keys()):
                action, served = self._answers.pop(stamp_ns)
                operator = self._driven.pop(stamp_ns)
                self._counts = _with_correction(
                    self._counts, self._distance(action, operator), self._distance(served, operator)
                )
            return self._counts

    def _distance(self, first: np.ndarray, second: np.ndarray) -> float:
        return float(np.mean(np.abs(first - second) / self._half_range))

    def _clear(self) -> None:
        self._observations.clear()
        self._answers.clear()
        self._driven.clear()
        self._waiting = None


def _keep(of: dict, stamp_ns: int, value: object) -> None:
    of[stamp_ns] = value
    while len(of) > _KEPT:
        del of[next(iter(of))]


def _with_step(counts: ShadowCounts, distance: float) -> ShadowCounts:
    steps = counts.steps + 1
    mean = counts.disagreement + (distance - counts.disagreement) / steps
    return ShadowCounts(steps, mean, counts.corrections, counts.error, counts.serving_error)


def _with_correction(counts: ShadowCounts, error: float, serving_error: float) -> ShadowCounts:
    corrections = counts.corrections + 1
    return ShadowCounts(
        counts.steps,
        counts.disagreement,
        corrections,
        counts.error + (error - counts.error) / corrections,
        counts.serving_error + (serving_error - counts.serving_error) / corrections,
    )
