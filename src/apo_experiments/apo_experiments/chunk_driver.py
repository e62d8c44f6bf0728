"""One command a step from a policy that predicts chunks, as policy node and arbiter make it in lockstep. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from apo_core.actions import OPEN, TWIST

T = TypeVar("T")


def still() -> np.ndarray:
    """The command before any other, float32 (7,): no motion, open fingers."""
    return np.append(np.zeros(TWIST.stop, np.float32), np.float32(OPEN))


class ChunkDriver(Generic[T]):
    """Executes each chunk whole before the next prediction; rows follow the time of the observations.

    Args:
        predict: observation -> commands (rows, 7), row i for the step i after the observation.
        hold_steps: steps without an observation in which the last command goes on; then the arm stands still.
    """

    def __init__(self, predict: Callable[[T], np.ndarray], hold_steps: int):
        self._predict, self._hold_steps = predict, hold_steps
        self._rows = np.empty((0, TWIST.stop + 1), np.float32)
        self._first = 0  # step of the observation behind the rows
        self._last, self._without = still(), 0

    def predicts_at(self, step: int) -> bool:
        """Whether an observation of `step` leads to a prediction."""
        return step - self._first >= len(self._rows)

    def command(self, step: int, observation: T) -> np.ndarray:
        """The command (7,) that answers an observation of `step`; steps only go up."""
        if self.predicts_at(step):
            self._rows, self._first = self._predict(observation), step
        self._last, self._without = self._rows[step - self._first], 0
        return self._last

    def command_without_observation(self) -> np.ndarray:
        """The command (7,) of a step in which no observation arrives."""
        self._without += 1
        if self._without > self._hold_steps:
            self._last = np.append(np.zeros(TWIST.stop, np.float32), self._last[TWIST.stop :])
        return self._last
