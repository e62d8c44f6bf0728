"""APO as the authors' released code computes it, for comparisons; `apo_loss` is the paper's."""

from __future__ import annotations

import torch
from torch import Tensor

from apo_trainer.losses.terms import LossOutput, exact

_BETA = 0.1
_KL_LIMIT_NATS = 5.0
_EPSILON = 1e-4


def apo_reference_compat_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    l1: Tensor,
    kl_policy_logps: Tensor,
    kl_ref_logps: Tensor,
) -> LossOutput:
    """APO with the released code's choices, where they differ from the paper's (arXiv 2506.07127).

        z0 = clamp(mean_i r(o_i, a'_i), -5, 5), not at least 0
        w_i = (l_i + 1e-4) / (1e-4 + sum of l over the samples with i's label), not over the batch
        L = sum_i (lambda_i - v_i), not the mean;  beta = 0.1,  beta_D = beta_U = 1

    Args:
        policy_logps: (B,) log pi_theta(a|o), with gradient.
        ref_logps: (B,) log pi_ref(a|o).
        desirable: (B,) bool; a batch may lack either class.
        l1: (B,) mean error of the likeliest bins, normalised action units.
        kl_policy_logps: (B',) log pi_theta(a'|o) of mismatched actions.
        kl_ref_logps: (B',) the same of the reference.
    """
    log_ratios = exact(policy_logps) - exact(ref_logps.detach())
    kl = (exact(kl_policy_logps.detach()) - exact(kl_ref_logps.detach())).sum() / max(1, kl_policy_logps.numel())
    z0 = kl.clamp(-_KL_LIMIT_NATS, _KL_LIMIT_NATS)
    error = exact(l1.detach())
    totals = torch.where(desirable, (error * desirable).sum(), (error * ~desirable).sum())
    shares = (error + _EPSILON) / (totals + _EPSILON)
    weights = torch.where(desirable, 1.0 - torch.exp(-shares), torch.exp(-shares))
    values = weights * torch.sigmoid(_BETA * torch.where(desirable, log_ratios - z0, z0 - log_ratios))
    return LossOutput((weights - values).sum(), log_ratios.detach(), weights, values.detach(), z0)
