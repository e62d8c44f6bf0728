"""The parts of a LlamaModel's decoder layer, adapters included."""

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
    """(B, n, heads * size); causal without a mask (n, keys) of what is visible."""
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


def rest(layer: nn.Module, x: Tensor, mixed: Tensor) -> Tensor:
    """What follows attention in a decoder layer."""
    x = x + apply_linear(layer.self_attn.o_proj, mixed)
    mlp, inner = layer.mlp, layer.post_attention_layernorm(x)
    gated = mlp.act_fn(apply_linear(mlp.gate_proj, inner)) * apply_linear(mlp.up_proj, inner)
    return x + apply_linear(mlp.down_proj, gated)
