"""Losses of preference optimisation from human interventions, as pure functions of tensors.

Equations are those of Action Preference Optimization (arXiv 2506.07127), whose value is KTO's (arXiv 2402.01306).

    r(o, a) = log pi_theta(a|o) - log pi_ref(a|o)                                              (R)
    z0      = max(0, mean_i r(o_i, a'_i)), a'_i an action of another sample, detached          (Z)
    v       = lambda_D sigma(beta (r - z0)) desirable, lambda_U sigma(beta (z0 - r)) not       (V)
    L       = mean_i (lambda_i - v_i)                                                          (L)
    w_i     = l_i / sum_j l_j;  lambda_D = 1 - exp(-beta_D w_i);  lambda_U = exp(-beta_U w_i)  (W)

(L) differs from the paper's E[1 - v] by a constant, since the weights carry no gradient. All is float32 or wider.
B samples, T action tokens, K token classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apo_trainer.losses.terms import LossOutput, exact


def kl_estimate(policy_logps: Tensor, ref_logps: Tensor, maximum: float = float("inf")) -> Tensor:
    """Equation (Z): 0-d, detached, in [0, maximum] nats.

    Args:
        policy_logps: (B',) log pi_theta(a'|o) of mismatched actions; empty when the batch has one sample: z0 is 0.
        ref_logps: (B',) log pi_ref(a'|o) of the same pairs.
        maximum: upper limit [nats]; the paper has none.
    """
    policy_logps, ref_logps = exact(policy_logps.detach()), exact(ref_logps.detach())
    if policy_logps.numel() == 0:
        return policy_logps.new_zeros(())
    return (policy_logps - ref_logps).mean().clamp(0.0, maximum)


def adaptive_weights(
    l1: Tensor, desirable: Tensor, beta_desirable: float = 1.0, beta_undesirable: float = 1.0, relative_to: str = "sum"
) -> Tensor:
    """Equation (W): lambda of each sample, (B,), detached.

    Args:
        l1: (B,) mean L1 error of the likeliest bins, normalised action units, >= 0. All zero gives uniform w.
        desirable: (B,) bool.
        beta_desirable: beta_D > 0; more error gives a desirable sample more weight.
        beta_undesirable: beta_U > 0; more error gives an undesirable sample less weight.
        relative_to: `sum` is the paper's w, which sums to 1 over the batch and so shrinks with the batch size;
            `mean` scales it by B, so that w averages 1 whatever the batch size.

    Raises:
        ValueError: an unknown `relative_to`.
    """
    if relative_to not in ("sum", "mean"):
        raise ValueError(f"relative_to = {relative_to!r} must be 'sum' or 'mean'")
    l1 = exact(l1.detach())
    total = l1.sum()
    shares = l1 / total if total > 0 else torch.full_like(l1, 1.0 / max(l1.numel(), 1))
    if relative_to == "mean":
        shares = shares * l1.numel()
    return torch.where(desirable, 1.0 - torch.exp(-beta_desirable * shares), torch.exp(-beta_undesirable * shares))


def preference_loss(
    policy_logps: Tensor, ref_logps: Tensor, desirable: Tensor, z0: Tensor, weights: Tensor, beta: float
) -> LossOutput:
    """Equations (R), (V) and (L) with given weights.

    Args:
        policy_logps: (B,) log pi_theta(a|o), with gradient.
        ref_logps: (B,) log pi_ref(a|o).
        desirable: (B,) bool; a batch may lack either class.
        z0: 0-d, of `kl_estimate`.
        weights: (B,) lambda.
        beta: how sharply the value saturates, > 0, 1/nats.
    """
    log_ratios = exact(policy_logps) - exact(ref_logps.detach())
    signed = torch.where(desirable, log_ratios - z0, z0 - log_ratios)
    values = weights * torch.sigmoid(beta * signed)
    return LossOutput((weights - values).mean(), log_ratios.detach(), weights, values.detach(), z0)


def apo_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    l1: Tensor,
    z0: Tensor,
    beta: float = 0.1,
    beta_desirable: float = 1.0,
    beta_undesirable: float = 1.0,
    relative_to: str = "sum",
) -> LossOutput:
    """Action Preference Optimization: `preference_loss` with `adaptive_weights`; arguments as there."""
    weights = adaptive_weights(l1, desirable, beta_desirable, beta_undesirable, relative_to)
    return preference_loss(policy_logps, ref_logps, desirable, z0, weights, beta)


def kto_loss(policy_logps: Tensor, ref_logps: Tensor, desirable: Tensor, z0: Tensor, beta: float = 0.1) -> LossOutput:
    """KTO (arXiv 2402.01306, equation 8) with unit weights."""
    return preference_loss(policy_logps, ref_logps, desirable, z0, torch.ones_like(exact(ref_logps)), beta)
