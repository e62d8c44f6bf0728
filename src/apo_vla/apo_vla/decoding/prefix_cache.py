"""Keys and values of a prefix, computed once, and an expert of its own weights that attends to them (as in pi0)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import GemmaModel, LlamaModel

from apo_vla.decoding.llama_layer import attend, heads, normed, rest, rotate
from apo_vla.lora.linear import apply_linear

Decoder: TypeAlias = LlamaModel | GemmaModel


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """Of B observations, whose prefixes have T tokens each, padding among them."""

    layers: tuple[tuple[Tensor, Tensor], ...]  # keys and values (B, heads, T, size) of each layer, keys rotated
    known: Tensor  # bool (B, T); False: padding, which no token sees
    ends: Tensor  # int64 (B,), position of the token behind the prefix

    def rows(self, chosen: Sequence[int]) -> PrefixCache:
        """Of some rows, without gradient."""
        index = list(chosen)
        layers = tuple((keys.detach()[index], values.detach()[index]) for keys, values in self.layers)
        return PrefixCache(layers, self.known[index], self.ends[index])


def cache_prefix(
    model: Decoder,
    prefix: Tensor,
    known: Tensor | None = None,
    visible: Tensor | None = None,
    checkpointing: bool = False,
) -> PrefixCache:
    """Keys and values of a prefix (B, T, d).

    Args:
        model: its layers are called one by one, adapters included.
        prefix: embeddings.
        known: bool (B, T), False for padding, which takes no position; None: there is none.
        visible: bool (T, T), which token sees which, padding aside; None: causal.
        checkpointing: the backward pass computes each layer again instead of keeping its activations.
    """
    x, found = prefix, []
    if known is None:
        known = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        mask = visible
    else:
        seen = visible if visible is not None else known.new_ones(x.shape[1], x.shape[1]).tril()
        # a token of padding sees itself, since a softmax over nothing is no number
        mask = (seen & known[:, None, None]) | torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    places = (known.cumsum(1) - 1).clamp(min=0)
    rotary = model.rotary_emb(x, places)
    last = len(model.layers) - 1
    for number, layer in enumerate(model.layers):
        arguments = (layer, x, rotary, mask, number == last)
        if checkpointing and torch.is_grad_enabled():
            x, keys, values = checkpoint(_prefix_layer, *arguments, use_reentrant=False)
        else:
            x, keys, values = _prefix_layer(*arguments)
        found.append((keys, values))
    return PrefixCache(tuple(found), known, known.sum(1))


def _prefix_layer(
    layer: nn.Module, x: Tensor, rotary: tuple[Tensor, Tensor], visible: Tensor | None, is_last: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A decoder layer over the prefix; nothing reads what the last one passes on."""
    attention = layer.self_attn
    inner = layer.input_layernorm(x)
    keys, values = (heads(apply_linear(p, inner), attention) for p in (attention.k_proj, attention.v_proj))
    keys = rotate(keys, rotary, 0)
    if is_last:
        return x, keys, values
    queries = rotate(heads(apply_linear(attention.q_proj, inner), attention), rotary, 0)
    return rest(layer, x, attend(attention, queries, keys, values, visible)), keys, values


def project_cache(expert: Decoder, cache: PrefixCache, layers: Collection[int]) -> PrefixCache:
    """The cache with the keys and values of some layers projected by the expert, which only crosses to them there."""
    made = list(cache.layers)
    for number in layers:
        attention = expert.layers[number].self_attn
        keys, values = (kept.transpose(1, 2).flatten(2) for kept in cache.layers[number])
        made[number] = (
            heads(apply_linear(attention.k_proj, keys), attention),
            heads(apply_linear(attention.v_proj, values), attention),
        )
    return PrefixCache(tuple(made), cache.known, cache.ends)


def append_tokens(expert: Decoder, cache: PrefixCache, tokens: Tensor) -> PrefixCache:
    """The cache with n more tokens (B, n, d) of the expert behind the prefix, which see it and each other."""
    count = tokens.shape[1]
    _, made = _run(expert, cache, tokens, 1, frozenset(), False, None)
    known = F.pad(cache.known, (0, count), value=True)
    return PrefixCache(made, known, cache.ends + count)


def expert_states(
    expert: Decoder,
    cache: PrefixCache,
    tokens: Tensor,
    causal: bool = False,
    crossing: Collection[int] = (),
    condition: Tensor | None = None,
) -> Tensor:
    """Final states of an expert's tokens, which see the prefix and each other, but not those of other draws.

    Args:
        expert: as many layers, and heads of the same size, as the model of the prefix.
        cache: of B observations.
        tokens: (B, D, R, d), R tokens of D draws that stand right behind the prefix.
        causal: a token does not see those behind it.
        crossing: numbers of layers whose tokens see the prefix alone, at positions from 0 on; see `project_cache`.
        condition: (B, D, c) of the norms, where they are `AdaptiveNorm`.

    Returns:
        (B, D, R, d), after the last norm.
    """
    draws, rows = tokens.shape[1:3]
    if condition is not None:
        condition = condition.repeat_interleave(rows, dim=1)
    x, _ = _run(expert, cache, tokens.flatten(1, 2), draws, frozenset(crossing), causal, condition)
    return normed(expert.norm, x, condition)[0].unflatten(1, (draws, rows))


def _run(
    expert: Decoder,
    cache: PrefixCache,
    x: Tensor,
    draws: int,
    crossing: frozenset[int],
    causal: bool,
    condition: Tensor | None,
) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...]]:
    """States (B, D * R, d) before the last norm, and every layer's keys and values, those of the prefix first."""
    place = torch.arange(x.shape[1] // draws, device=x.device).repeat(draws)
    draw = torch.arange(draws, device=x.device).repeat_interleave(x.shape[1] // draws)
    own = draw[:, None] == draw[None]
    if causal:
        own = own & (place[:, None] >= place[None])
    before = cache.known[:, None, None].expand(-1, 1, x.shape[1], -1)
    visible = torch.cat([before, own.expand(len(x), 1, -1, -1)], dim=3)
    rotary = expert.rotary_emb(x, cache.ends[:, None] + place)
    crossing_rotary = expert.rotary_emb(x, place[None]) if crossing else rotary
    made = []
    for number, (layer, (keys, values)) in enumerate(zip(expert.layers, cache.layers, strict=True)):
        attention = layer.self_attn
        inner, gate = normed(layer.input_layernorm, x, condition)
        queries = heads(apply_linear(attention.q_proj, inner), attention)
        if number in crossing:
            mixed = attend(attention, rotate(queries, crossing_rotary, 0), keys, values, before)
        else:
            own_keys = rotate(heads(apply_linear(attention.k_proj, inner), attention), rotary, 0)
            own_values = heads(apply_linear(attention.v_proj, inner), attention)
            keys, values = torch.cat([keys, own_keys], dim=2), torch.cat([values, own_values], dim=2)
            mixed = attend(attention, rotate(queries, rotary, 0), keys, values, visible)
        x = rest(layer, x, mixed, gate, condition)
        made.append((keys, values))
    return x, tuple(made)
