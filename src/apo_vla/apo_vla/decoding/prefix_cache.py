"""Keys and values of a prefix, computed once, and an expert of its own weights that attends to them (as in pi0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaModel

from apo_vla.decoding.llama_layer import attend, heads, rest, rotate
from apo_vla.lora.linear import apply_linear


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """Of B observations, whose prefixes have T tokens each."""

    layers: tuple[tuple[Tensor, Tensor], ...]  # keys and values (B, heads, T, size) of each layer, keys rotated

    @property
    def length(self) -> int:
        """T."""
        return self.layers[0][0].shape[2]

    def rows(self, chosen: Sequence[int]) -> PrefixCache:
        """Of some rows, without gradient."""
        index = list(chosen)
        return PrefixCache(tuple((keys.detach()[index], values.detach()[index]) for keys, values in self.layers))


def cache_prefix(model: LlamaModel, prefix: Tensor, checkpointing: bool = False) -> PrefixCache:
    """Keys and values of a causal prefix (B, T, d).

    Args:
        model: its layers are called one by one, adapters included.
        prefix: embeddings.
        checkpointing: the backward pass computes each layer again instead of keeping its activations.
    """
    x, found = prefix, []
    rotary = model.rotary_emb(x, torch.arange(x.shape[1], device=x.device)[None])
    last = len(model.layers) - 1
    for number, layer in enumerate(model.layers):
        arguments = (layer, x, rotary, number == last)
        if checkpointing and torch.is_grad_enabled():
            x, keys, values = checkpoint(_prefix_layer, *arguments, use_reentrant=False)
        else:
            x, keys, values = _prefix_layer(*arguments)
        found.append((keys, values))
    return PrefixCache(tuple(found))


def _prefix_layer(
    layer: nn.Module, x: Tensor, rotary: tuple[Tensor, Tensor], is_last: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A decoder layer over the prefix; nothing reads what the last one passes on."""
    attention = layer.self_attn
    inner = layer.input_layernorm(x)
    keys, values = (heads(apply_linear(p, inner), attention) for p in (attention.k_proj, attention.v_proj))
    keys = rotate(keys, rotary, 0)
    if is_last:
        return x, keys, values
    queries = rotate(heads(apply_linear(attention.q_proj, inner), attention), rotary, 0)
    return rest(layer, x, attend(attention, queries, keys, values, None)), keys, values


def expert_states(expert: LlamaModel, cache: PrefixCache, tokens: Tensor) -> Tensor:
    """Final states of an expert's tokens, which see the prefix and each other, but not those of other draws.

    Args:
        expert: as many layers, and heads of the same size, as the model of the prefix.
        cache: of B observations.
        tokens: (B, D, R, d), R tokens of D draws that stand right behind the prefix.

    Returns:
        (B, D, R, d), after the last norm.
    """
    draws, rows = tokens.shape[1:3]
    x, length = tokens.flatten(1, 2), cache.length
    places = length + torch.arange(rows, device=x.device).repeat(draws)
    rotary = expert.rotary_emb(x, places[None])
    draw = torch.arange(draws, device=x.device).repeat_interleave(rows)
    visible = torch.cat([draw.new_ones(len(draw), length, dtype=torch.bool), draw[:, None] == draw[None]], dim=1)
    for layer, (old_keys, old_values) in zip(expert.layers, cache.layers, strict=True):
        attention = layer.self_attn
        inner = layer.input_layernorm(x)
        queries, keys, values = (
            heads(apply_linear(project, inner), attention)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        keys = torch.cat([old_keys, rotate(keys, rotary, 0)], dim=2)
        values = torch.cat([old_values, values], dim=2)
        x = rest(layer, x, attend(attention, rotate(queries, rotary, 0), keys, values, visible))
    return expert.norm(x).unflatten(1, (draws, rows))
