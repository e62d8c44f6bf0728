"""A frozen linear layer and its LoRA adapter as one operation: y = x W^T + s (x A^T) B^T (arXiv 2106.09685, eq. 3).

PEFT's layer does the same in six operations, each with a pass over all activations; here the adapter's part is added
inside the matrix product, forwards and backwards.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from apo_vla.lora.adapter import ADAPTER


class LoraLinear(torch.autograd.Function):
    """x (n, in), W (out, in), A (r, in), B (out, r), s -> (n, out); no gradient for W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        low = x @ a.t()
        ctx.save_for_backward(x, low, weight, a, b)
        ctx.scale = scale
        return (x @ weight.t()).addmm_(low, b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, low, weight, a, b = ctx.saved_tensors
        grad_low = (grad @ b).mul_(ctx.scale)
        # the small factor first: several times faster than the product the other way round
        grad_b = (low.t() @ grad).t().mul(ctx.scale)
        grad_x = (grad @ weight).addmm_(grad_low, a) if ctx.needs_input_grad[0] else None
        return grad_x, None, grad_low.t() @ x, grad_b, None


def apply_linear(linear: nn.Module, x: Tensor) -> Tensor:
    """`linear(x)`, as one operation where it is a frozen layer with a plain adapter."""
    if not _is_plain(linear) or torch.is_autocast_enabled(x.device.type):
        return linear(x)
    weights = linear.base_layer.weight, linear.lora_A[ADAPTER].weight, linear.lora_B[ADAPTER].weight
    return LoraLinear.apply(x.flatten(0, -2), *weights, linear.scaling[ADAPTER]).unflatten(0, x.shape[:-1])


def _is_plain(linear: nn.Module) -> bool:
    """Whether the adapter that serves is the only one, with nothing but A and B, and no dropout now."""
    if not isinstance(linear, LoraLayer) or linear.disable_adapters or linear.merged:
        return False
    dropout = linear.lora_dropout[ADAPTER] if ADAPTER in linear.lora_A else None
    return (
        list(linear.active_adapters) == [ADAPTER]
        and (isinstance(dropout, nn.Identity) or not linear.training)
        and linear.base_layer.bias is None
        and linear.lora_B[ADAPTER].bias is None
        and not linear.base_layer.weight.requires_grad
        and not linear.use_dora.get(ADAPTER)
        # a base in bfloat16 has an adapter in float32, which PEFT's layer converts for
        and linear.base_layer.weight.dtype == linear.lora_A[ADAPTER].weight.dtype
    )
