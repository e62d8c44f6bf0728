"""Behaviour cloning, plain and weighted."""

from __future__ import annotations

import torch
from torch import Tensor

from apo_trainer.losses.terms import LossOutput, exact


def bc_loss(policy_logps: Tensor, token_counts: Tensor, weights: Tensor | None = None) -> LossOutput:
    """Behaviour cloning: -sum_i u_i log pi_theta(a_i|o_i) / sum_i u_i n_i, the mean over n tokens, weighted by u.

    With weights by class it is Sirius' weighted behaviour cloning (arXiv 2211.08416, equation 3).

    Args:
        policy_logps: (B,) sums over the tokens of a sample, with gradient.
        token_counts: (B,) tokens in each sum.
        weights: (B,) u >= 0, ones by default; all zero gives a loss of zero.
    """
    logps = exact(policy_logps)
    weights = torch.ones_like(logps) if weights is None else exact(weights.detach())
    tokens = (weights * token_counts).sum().clamp(min=torch.finfo(logps.dtype).tiny)
    zeros = torch.zeros_like(logps.detach())
    return LossOutput(-(weights * logps).sum() / tokens, zeros, weights, logps.detach(), zeros.new_zeros(()))
