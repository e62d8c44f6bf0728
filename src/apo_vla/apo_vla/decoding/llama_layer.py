"""The parts of a decoder layer of a LlamaModel or a GemmaModel, adapters included."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apo_vla.lora.linear import apply_linear


def heads(projected: Tensor, attention: nn.Module) -> Tensor:
    """(B, n, heads * size) -> (B, heads, n, size)."""
    return projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor], first: int) -> Tensor:
    """Rotary embedding of (B, heads, n, size) at positions from `first` on."""
    cos, sin = (table[:, None, first : first + x.shape[2]] for table in rotary)
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-high, low], dim=-1) * sin


def attend(attention: nn.Module, queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None) -> Tensor:
    """(B, n, heads * size); causal without a mask (n, keys) or (B, 1, n, keys) of what is visible."""
    mixed = F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=visible,
        is_causal=visible is None,
        scale=attention.scaling,
        enable_gqa=queries.shape[1] != keys.shape[1],
    )
    return mixed.transpose(1, 2).flatten(2)


def normed(norm: nn.Module, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A norm's output, and the gate of what follows it; None where nothing is gated.

    Args:
        norm: with a condition, an `AdaptiveNorm`.
        x: (B, n, d).
        condition: (B, n, c), None for a plain norm.
    """
    return (norm(x), None) if condition is None else norm(x, condition)


def residual(x: Tensor, change: Tensor, gate: Tensor | None) -> Tensor:
    """x + change, gated."""
    return x + change if gate is None else x + change * gate


def rest(
    layer: nn.Module, x: Tensor, mixed: Tensor, gate: Tensor | None = None, condition: Tensor | None = None
) -> Tensor:
    """What follows attention in a decoder layer.

    Args:
        layer: of the decoder.
        x: (B, n, d), the layer's input.
        mixed: of `attend`.
        gate: of the norm before attention.
        condition: see `normed`.
    """
    x = residual(x, apply_linear(layer.self_attn.o_proj, mixed), gate)
    mlp = layer.mlp
    inner, gate = normed(layer.post_attention_layernorm, x, condition)
    gated = mlp.act_fn(apply_linear(mlp.gate_proj, inner)) * apply_linear(mlp.up_proj, inner)
    return residual(x, apply_linear(mlp.down_proj, gated), gate)


class AdaptiveNorm(nn.Module):
    """RMS norm whose scale, shift and gate come from a condition (adaRMS of pi0.5, arXiv 2504.16054).

    Args:
        size: d of what is normed.
        condition_size: c.
        epsilon: added to the mean square.
    """

    def __init__(self, size: int, condition_size: int, epsilon: float = 1e-6):
        super().__init__()
        self.dense = nn.Linear(condition_size, 3 * size)
        self.epsilon = epsilon

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, d) and (B, n, c) -> the normed values and the gate, both (B, n, d)."""
        scale, shift, gate = self.dense(condition.to(self.dense.weight.dtype)).float().chunk(3, dim=-1)
        values = x.float()
        values = values * torch.rsqrt(values.square().mean(-1, keepdim=True) + self.epsilon)
        return (values * (1 + scale) + shift).to(x.dtype), gate.to(x.dtype)
