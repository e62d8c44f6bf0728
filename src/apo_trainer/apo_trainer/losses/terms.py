"""What every loss is made of. B samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
