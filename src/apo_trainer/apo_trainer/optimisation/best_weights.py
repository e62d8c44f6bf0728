"""Which weights of a run become the adapter: those that err least on held-out steps, not the last ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class BestWeights:
    """A copy of the parameters as they were when their held-out error was the least.

    Args:
        parameters: by name.

    Attributes:
        step: optimizer steps done then; 0: no weights were measured.
        error: theirs.
        tensors: the copy, by name; empty before the first.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]):
        self._parameters = dict(parameters)
        self.step, self.error = 0, math.inf
        self.tensors: dict[str, Tensor] = {}

    def offer(self, step: int, error: float) -> None:
        """Keeps the parameters as they are now if their error is the least so far; NaN is none."""
        if error < self.error:
            self.restore(step, error, {name: p.detach().clone() for name, p in self._parameters.items()})

    def restore(self, step: int, error: float, tensors: Mapping[str, Tensor]) -> None:
        """Sets the best weights of an interrupted run."""
        self.step, self.error, self.tensors = step, error, dict(tensors)

    @torch.no_grad()
    def take(self) -> None:
        """Sets the parameters to the best; leaves them where none were measured."""
        for name, tensor in self.tensors.items():
            self._parameters[name].copy_(tensor)
