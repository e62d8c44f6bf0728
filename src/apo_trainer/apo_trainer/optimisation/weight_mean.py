"""A running mean of the weights (exponential moving average), which varies less than the last weights do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightMean:
    """The mean of the parameters after each step; empty with a decay of 0.

    Args:
        parameters: by name.
        decay: share of the mean that stays a step; smaller in the first steps, (1 + n) / (10 + n).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float):
        self._parameters, self._decay = dict(parameters) if decay else {}, decay
        self.tensors: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Takes in the parameters after step `step` (from 0)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, mean in self.tensors.items():
            mean.lerp_(self._parameters[name], 1.0 - decay)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """The parameters are their mean inside."""
        current = {name: self._parameters[name].detach().clone() for name in self.tensors}
        self.take()
        try:
            yield
        finally:
            self._set(current)

    def take(self) -> None:
        """Sets the parameters to their mean."""
        self._set(self.tensors)

    @torch.no_grad()
    def _set(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self._parameters[name].copy_(tensor)
