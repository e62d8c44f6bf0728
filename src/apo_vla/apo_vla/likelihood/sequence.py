"""Log-probabilities of sequences of action tokens. B samples, T action tokens, K token classes."""

from __future__ import annotations

import torch
from torch import Tensor

from apo_vla.likelihood.action_tolerance import ActionScores


def sequence_logps(logits: Tensor, tokens: Tensor, mask: Tensor, scores: ActionScores | None = None) -> Tensor:
    """Log-probability of each sample's actions, (B,) nats.

    Args:
        logits: (B, T, K) of any float type; the log-softmax is taken in float32 or wider.
        tokens: (B, T) int64 in [0, K).
        mask: (B, T) bool, true where a token counts.
        scores: what each token counts as; None: each is an action of its own.
    """
    if scores is not None:
        return (scores.log_probs(_exact(logits), tokens) * mask).sum(-1)
    logps = torch.log_softmax(_exact(logits), dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return (logps * mask).sum(-1)


def _exact(logits: Tensor) -> Tensor:
    """float64 stays; everything narrower becomes float32, as sums of bf16 log-probs are useless."""
    return logits if logits.dtype == torch.float64 else logits.float()
