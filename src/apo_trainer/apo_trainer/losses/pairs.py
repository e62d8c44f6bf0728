"""Losses over pairs of a preferred and a rejected answer.

    L = mean_p -log sigmoid(beta (R_w - R_l)),  R = sum_t (log pi_theta(a_t|o_t) - log pi_ref(a_t|o_t))

DPO (arXiv 2305.18290, equation 7) has one step t, with two actions for the same observation; TPO (GRAPE, arXiv
2411.19309) has the steps of a window of each trajectory. RPRO (arXiv 2606.05468) adds the proximal term that DPO leaves
out (PRO, arXiv 2505.23316, theorem 3.1):

    L = -log sigmoid(r_w - r_l) + alpha (D(r_w) + D(r_l)),  r = beta (log pi_theta - log pi_ref)
    D(x) = KL(B(1/2) || B(sigmoid(x))) = (softplus(x) + softplus(-x)) / 2 - log 2

-log sigmoid(x) is -x / 2 + D(x) + log 2: DPO compares the two actions alone, so that both may fall. PRO compares each
with every other action as well, whose reward is 0 while the two hold little of the probability; D then holds each near
its reference.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from apo_trainer.losses.terms import LossOutput, exact


def dpo_loss(policy_logps: Tensor, ref_logps: Tensor, beta: float = 0.1) -> LossOutput:
    """DPO of B / 2 pairs: row p is preferred to row p + B / 2.

    Args:
        policy_logps: (B,) log pi_theta(a|o), with gradient; B even.
        ref_logps: (B,) log pi_ref(a|o).
        beta: > 0, 1/nats.

    Returns:
        `weights` are sigmoid(beta (R_l - R_w)), how wrong a pair still is: the factor of its gradient.

    Raises:
        ValueError: see `tpo_loss`.
    """
    return tpo_loss(policy_logps, ref_logps, 1, beta)


def tpo_loss(policy_logps: Tensor, ref_logps: Tensor, window: int, beta: float = 0.1) -> LossOutput:
    """TPO of P pairs of windows: rows [preferred windows, then rejected windows], each `window` rows long.

    Args:
        policy_logps: (B,) log pi_theta(a_t|o_t) of every step, with gradient; B = 2 P window.
        ref_logps: (B,) the same of the reference.
        window: steps of a window.
        beta: > 0, 1/nats.

    Raises:
        ValueError: B is not a multiple of 2 window, or is zero.
    """
    size = len(policy_logps)
    if size == 0 or size % (2 * window):
        raise ValueError(f"{size} rows do not make pairs of windows of {window} steps")
    log_ratios = exact(policy_logps) - exact(ref_logps.detach())
    preferred, rejected = log_ratios.reshape(2, -1, window).sum(-1)
    margins = beta * (preferred - rejected)
    wrong = torch.sigmoid(-margins.detach()).repeat_interleave(window).repeat(2)
    zero = margins.detach().new_zeros(())
    return LossOutput(-F.logsigmoid(margins).mean(), log_ratios.detach(), wrong, 1.0 - wrong, zero)


def rpro_loss(policy_logps: Tensor, ref_logps: Tensor, beta: float = 0.1, alpha: float = 1.0) -> LossOutput:
    """RPRO of B / 2 pairs: row p is preferred to row p + B / 2.

    Args:
        policy_logps: (B,) log pi_theta(a|o), with gradient; B even.
        ref_logps: (B,) log pi_ref(a|o).
        beta: > 0, 1/nats.
        alpha: of the proximal term, >= 0; 0 is DPO.

    Raises:
        ValueError: see `tpo_loss`.
    """
    out = dpo_loss(policy_logps, ref_logps, beta)
    rewards = beta * (exact(policy_logps) - exact(ref_logps.detach()))
    proximal = (F.softplus(rewards) + F.softplus(-rewards)) / 2 - math.log(2)
    return dataclasses.replace(out, loss=out.loss + 2 * alpha * proximal.mean())
