"""Regression by L1 error: the log-likelihood of a Laplace distribution around the predicted action.

    log p(a | o) = sum_i -|a_i - a'_i(o)| / b - log 2b

An L1 head (OpenVLA-OFT, arXiv 2502.19645) is trained to be the mode of exactly this; it has no b of its own, so b is a
setting. Log-ratios are in units of 1 / b: they compare how far two policies are from an action, and nothing beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.continuous import EDGE, continuous_targets, mean_error
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Encoded, Pass, Scores, Targets


class RegressionModel(Protocol):
    """What this likelihood uses of a model."""

    def regress(self, features: Tensor, prompt_ids: Tensor) -> Tensor:
        """The predicted action, float32 (B, R * A), normalised, with gradient."""


class LaplaceLikelihood:
    """See `ActionLikelihood`; L = R * A numbers.

    Args:
        codec: of the actions.
        settings: `laplace_scale`.
    """

    has_context = False
    limit_scale = 1.0

    def __init__(self, codec: ActionCodec, settings: LikelihoodSettings):
        self.name = f"Laplace {settings.laplace_scale:g}"
        self._codec, self._scale = codec, settings.laplace_scale

    def fault(self, chunk: np.ndarray, mask: np.ndarray) -> str:
        """Every action has an error."""
        return ""

    def encode(self, chunks: np.ndarray, mask: np.ndarray, emitted: Sequence[np.ndarray | None]) -> Encoded:
        """Normalised actions."""
        return continuous_targets(self._codec, chunks, mask)

    def scores(self, model: RegressionModel, seen: Pass, targets: Targets) -> Scores:
        """One pass: the prediction is the same whichever action is scored."""
        predicted = model.regress(seen.features, seen.prompt_ids)
        others = seen.others
        other_logps = predicted.new_zeros(0)
        if others.targets is not None:
            other_logps = self._logps(predicted.detach()[list(others.rows)], others.targets)
        fixed = predicted.detach()
        return Scores(
            logps=self._logps(predicted, targets),
            l1=mean_error(fixed, targets),
            edges=((fixed.abs() >= EDGE) & targets.mask).sum(-1) / targets.mask.sum(-1).clamp(min=1),
            other_logps=other_logps,
        )

    def _logps(self, predicted: Tensor, targets: Targets) -> Tensor:
        error = (predicted.float() - targets.outputs).abs()
        return ((-error / self._scale - math.log(2 * self._scale)) * targets.mask).sum(-1)
