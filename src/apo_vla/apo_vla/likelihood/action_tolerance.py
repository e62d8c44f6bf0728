"""Likelihood of an action up to a tolerance: a neighbouring bin is nearly the same action."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.actions.nearness import log_nearness


class ActionScores(Protocol):
    """How likely logits make actions."""

    def log_probs(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability of each token's action, (B, L) nats, of logits (B, L, K) and int64 tokens (B, L)."""


class TolerantActions:
    """log sum_b w(b, a) pi(b), the probability of acting as `a`: a bin that is d bins off has w = exp(-d^2 / 2 s^2).

    Bins that decode to one value count fully for each other, as in `ActionClasses`, which a tolerance of 0 equals.

    Args:
        codec: of the policy; K bins, A dimensions.
        tolerance: s, bins; above 0.
        device: of the logits.
    """

    def __init__(self, codec: ActionCodec, tolerance: float, device: torch.device | str = "cpu"):
        bins = np.arange(codec.bins)
        places = codec.centres(bins) / np.diff(codec.centres(np.array([0, 1])))
        log_weights = log_nearness(torch.from_numpy(places), tolerance).numpy()
        same = codec.classes[:, :, None] == codec.classes[:, None, :]
        table = np.where(same, 0.0, log_weights)
        self._log_weights = torch.tensor(table, dtype=torch.float32, device=device)  # (A, K, K)

    def log_probs(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability of each token's action, (B, L) nats, in the type of `logits`.

        Args:
            logits: (B, L, K); token i is of dimension i % A.
            tokens: int64 (B, L) in [0, K).
        """
        dimensions = torch.arange(tokens.shape[1], device=tokens.device) % len(self._log_weights)
        weights = self._log_weights[dimensions, tokens].to(logits.dtype)
        return (logits + weights).logsumexp(-1) - logits.logsumexp(-1)


def action_scores(codec: ActionCodec, tolerance: float, device: torch.device | str = "cpu") -> ActionScores:
    """How bins are scored: with a tolerance [bins], or exactly where it is 0."""
    return TolerantActions(codec, tolerance, device) if tolerance else ActionClasses(codec.classes, device)
