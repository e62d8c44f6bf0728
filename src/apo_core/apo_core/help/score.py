"""A weighted sum of features: log odds that a takeover or a failure is near. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apo_core.help.features import FEATURES


@dataclass(frozen=True, slots=True)
class Weight:
    """What one feature adds: weight * (value - mean) / scale."""

    mean: float
    scale: float  # above 0
    weight: float


@dataclass(frozen=True, slots=True)
class HelpScore:
    """Log odds from the features that are used; a score above `threshold` is an alarm."""

    weights: Mapping[str, Weight]  # by name in FEATURES
    bias: float
    threshold: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """Log odds of features (..., F) in the order of FEATURES: (...); NaN where one that is used is unknown."""
        total = np.full(features.shape[:-1], self.bias, np.float64)
        for name, used in self.weights.items():
            total += used.weight * (features[..., FEATURES.index(name)] - used.mean) / used.scale
        return total

    def is_alarm(self, score: float) -> bool:
        """Whether a score asks for help; an unknown one does not."""
        return score > self.threshold
