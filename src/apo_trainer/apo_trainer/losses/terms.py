"""What every loss is made of. B samples, T action tokens, K token classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apo_vla.likelihood.action_tolerance import ActionScores


@dataclass(frozen=True, slots=True)
class LossOutput:
    """What a loss gives back; all but `loss` is detached."""

    loss: Tensor  # 0-d, to minimise
    log_ratios: Tensor  # (B,) nats, log pi_theta(a|o) - log pi_ref(a|o); zeros without a reference
    weights: Tensor  # (B,) of each sample
    values: Tensor  # (B,) what the loss makes of each sample, larger is better
    z0: Tensor  # 0-d nats, KL estimate; 0 where the loss has none


def exact(tensor: Tensor) -> Tensor:
    """float64 stays; everything narrower becomes float32, as sums of bf16 log-probs are useless."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def sequence_logps(logits: Tensor, tokens: Tensor, mask: Tensor, scores: ActionScores | None = None) -> Tensor:
    """Log-probability of each sample's actions, (B,) nats.

    Args:
        logits: (B, T, K) of any float type; the log-softmax is taken in float32 or wider.
        tokens: (B, T) int64 in [0, K).
        mask: (B, T) bool, true where a token counts.
        scores: what each token counts as; None: each is an action of its own.
    """
    if scores is not None:
        return (scores.log_probs(exact(logits), tokens) * mask).sum(-1)
    logps = torch.log_softmax(exact(logits), dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return (logps * mask).sum(-1)
