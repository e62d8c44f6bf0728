"""Greedy decoding of a few tokens on a LlamaModel's own weights, with a cache of fixed size.

It does what `LlamaModel.forward` with a key-value cache does, without the per-token overhead, and scores only the rows
of the tokens that may follow. LoRA is in effect in one of two ways (projections.py): merged into copies of the weights,
which is fastest for a small model, or beside the weights, which costs no memory and keeps every address when an adapter
is exchanged, as a large model and CUDA graphs need it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

from apo_vla.actions.classes import ActionClasses
from apo_vla.decoding.projections import Layer, bound_layer, linears, merged_layer, project, state_of


class Decoded(NamedTuple):
    """Greedy tokens with their scores."""

    tokens: torch.Tensor  # int64 (B, steps)
    log_probs: torch.Tensor  # float32 (B, steps), nats, of the action that each token is
    entropies: torch.Tensor  # float32 (B, steps), nats, of the distribution over actions that each was taken from


def decoder_fault(config: LlamaConfig) -> str:
    """Why a StaticDecoder cannot repeat the arithmetic of this Llama variant; empty if it can."""
    heads, rope = config.num_attention_heads, config.rope_parameters["rope_type"]
    if config.num_key_value_heads != heads:
        return f"it needs as many key-value heads as heads, got {config.num_key_value_heads} and {heads}"
    if (config.head_dim or config.hidden_size // heads) * heads != config.hidden_size:
        return f"it needs heads as wide as the model, got {heads} of {config.head_dim} for {config.hidden_size}"
    if config.attention_bias or config.mlp_bias:
        return "it needs linear layers without biases"
    if rope != "default" or config.hidden_act != "silu":
        return f"it needs rope_type 'default' and silu, got {rope!r} and {config.hidden_act!r}"
    return ""


class StaticDecoder:
    """Decodes with `model`'s current weights. Not thread-safe.

    Args:
        model: its weights, and adapters, are used where they are.
        merge: copies of the weights with the adapter in them, renewed whenever one changed. Else the adapter is
            computed beside them, and `refresh` is to be called when weights were moved or an adapter was attached.
        nearness: float32 (V, V), how far one token passes for another (`apo_vla.actions.nearness`); None: only for
            itself.

    Raises:
        ValueError: a Llama variant whose arithmetic this does not repeat, see `decoder_fault`.
    """

    def __init__(self, model: LlamaModel, merge: bool = True, nearness: torch.Tensor | None = None):
        config = model.config
        fault = decoder_fault(config)
        if fault:
            raise ValueError(f"StaticDecoder cannot decode with this model: {fault}")
        # not a child module: the model owns itself
        self._model = [model]
        self._merge = merge
        self._heads = config.num_attention_heads
        self._head_size = config.hidden_size // config.num_attention_heads
        self._eps = config.rms_norm_eps
        self._key: tuple | None = None
        self._layers: list[Layer] = []
        self._before, self._after = _before_attention, _after_attention
        self.before_layer: Callable[[], None] = _nothing  # called before each layer computes
        self.classes: ActionClasses | None = None  # which tokens are one action; None: each is one of its own
        self._nearness = nearness

    def __deepcopy__(self, memo: dict) -> StaticDecoder:
        """A decoder of the copied model; bound to its weights when first used."""
        other = copy.copy(self)
        memo[id(self)] = other
        other._model = [copy.deepcopy(self._model[0], memo)]
        other._key, other._layers = None, []
        other._before, other._after = _before_attention, _after_attention
        return other

    @property
    def model(self) -> LlamaModel:
        """The model that it decodes with."""
        return self._model[0]

    def with_merge(self, merge: bool) -> StaticDecoder:
        """A decoder that differs in `merge` alone, not compiled."""
        other = StaticDecoder(self.model, merge, self._nearness)
        other.classes, other.before_layer = self.classes, self.before_layer
        return other

    def compile(self) -> None:
        """Has torch.compile fuse the work around the attention; compiled when first used, once for all layers."""
        self._before = torch.compile(_before_attention, dynamic=True)
        self._after = torch.compile(_after_attention, dynamic=True)

    def generate(
        self,
        prefix: torch.Tensor,
        embedding: torch.Tensor,
        head: torch.Tensor,
        steps: int,
        committed: torch.Tensor | None = None,
    ) -> Decoded:
        """Greedy tokens after `prefix`, with `nearness` those of least expected loss; call under inference_mode.

        Args:
            prefix: (B, T, d) embeddings.
            embedding: (V, d) of the tokens that may follow.
            head: (V, d) output rows of the same tokens.
            steps: tokens of the result.
            committed: int64 (B, F), F < steps, the tokens to begin with; they cost no step of their own.
        """
        if self._merge or not self._layers:
            self.refresh()
        if committed is not None:
            prefix = torch.cat([prefix, F.embedding(committed, embedding)], dim=1)
        given = 0 if committed is None else committed.shape[1]
        batch, start, _ = prefix.shape
        total = start + steps - given - 1  # positions that are computed: the last token is only read off
        positions = torch.arange(total, device=prefix.device)[None]
        cos, sin = (table[0] for table in self._model[0].rotary_emb(prefix, positions))  # (total, head size)
        cache = prefix.new_empty((len(self._layers), 2, batch, self._heads, total, self._head_size))
        # logits at the last position of the prefix score the first token
        hidden = self._forward(prefix, cache, cos, sin, 0, given + 1)
        logits = [self._score(hidden, head)]
        tokens = [] if committed is None else list(committed.unbind(dim=1))
        tokens.append(self._choose(logits[0][:, -1]))
        for first in range(start, total):
            hidden = F.embedding(tokens[-1], embedding)[:, None]
            logits.append(self._score(self._forward(hidden, cache, cos, sin, first, 1), head))
            tokens.append(self._choose(logits[-1][:, -1]))
        return _scored(torch.stack(tokens, dim=1), torch.cat(logits, dim=1), self.classes)

    def refresh(self) -> None:
        """Binds to the weights where, and merged ones as, they are now; does nothing while that is so."""
        if self._state() == self._key:
            return
        # views that parameters get must be ordinary tensors
        with torch.inference_mode(False), torch.no_grad():
            layers = self._model[0].layers
            self._layers = [merged_layer(each, self._heads) if self._merge else bound_layer(each) for each in layers]
        self._key = self._state()  # binding may have moved tensors

    def _state(self) -> tuple:
        return tuple(state_of(linear, self._merge) for layer in self._model[0].layers for linear in linears(layer))

    def _score(self, hidden: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        norm = self._model[0].norm.weight
        return F.linear(F.rms_norm(hidden, (hidden.shape[-1],), norm, self._eps), head).float()

    def _choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Tokens (B,) of logits (B, V)."""
        if self._nearness is None:
            return logits.argmax(dim=-1)
        if self._nearness.device != logits.device:  # once, and never while a CUDA graph is recorded
            self._nearness = self._nearness.to(logits.device)
        return (logits.softmax(dim=-1) @ self._nearness).argmax(dim=-1)

    def _forward(
        self, x: torch.Tensor, cache: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, first: int, keep: int
    ) -> torch.Tensor:
        """Hidden states (B, keep, d) of the last positions of `x` (B, n, d), which begins at position `first`."""
        batch, count, width = x.shape
        last = first + count
        cos, sin = cos[first:last, None], sin[first:last, None]
        mask = None
        if 1 < keep < count:
            mask = torch.ones(keep, last, dtype=torch.bool, device=x.device).tril(last - keep)
        final = len(self._layers) - 1
        for index, (layer, (keys, values)) in enumerate(zip(self._layers, cache, strict=True)):
            self.before_layer()
            rotated, value = self._before(layer, x, cos, sin, self._heads, self._eps)
            keys[:, :, first:last] = rotated[:, self._heads :]
            values[:, :, first:last] = value
            # the final layer's output is read at the kept positions only
            kept, seen = (keep, mask) if index == final else (count, None)
            mixed = F.scaled_dot_product_attention(
                rotated[:, : self._heads, -kept:],
                keys[:, :, :last],
                values[:, :, :last],
                seen,
                is_causal=seen is None and kept > 1,
            )
            x = self._after(layer, x[:, -kept:], mixed.transpose(1, 2).reshape(batch, kept, width), self._eps)
        return x


def _nothing() -> None:
    pass


def _before_attention(
    layer: Layer, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (B, n, d) -> queries and keys (B, 2 heads, n, size) with rotary, values (B, heads, n, size)."""
    batch, count, width = x.shape
    normed = F.rms_norm(x, (width,), layer.norm1, eps)
    # few positions pay for each operation, many for each row of the weights
    turned = layer.qkv_turned if count == 1 else None
    joint = project(normed, layer.qkv if turned is None else turned).view(batch, count, -1, width // heads)
    straight = joint[:, :, : 2 * heads]
    if turned is not None:
        half_turned = joint[:, :, 3 * heads :]
    else:
        low, high = straight.chunk(2, dim=-1)
        half_turned = torch.cat([-high, low], dim=-1)
    rotated = torch.addcmul(straight * cos, half_turned, sin)
    return rotated.transpose(1, 2), joint[:, :, 2 * heads : 3 * heads].transpose(1, 2)


def _after_attention(layer: Layer, x: torch.Tensor, mixed: torch.Tensor, eps: float) -> torch.Tensor:
    """Hidden states (B, n, d) and their attention output -> the layer's output (B, n, d)."""
    x = x + project(mixed, layer.out)
    gate, up = project(F.rms_norm(x, (x.shape[-1],), layer.norm2, eps), layer.gate_up).chunk(2, dim=-1)
    return x + project(F.silu(gate) * up, layer.down)


def _scored(tokens: torch.Tensor, logits: torch.Tensor, classes: ActionClasses | None) -> Decoded:
    """Scores of tokens (B, steps) under logits (B, steps, V)."""
    if classes is not None:
        return Decoded(tokens, classes.log_probs(logits, tokens), classes.entropies(logits))
    log_probs = logits.log_softmax(dim=-1)
    entropies = -(log_probs.exp() * log_probs).sum(dim=-1)
    return Decoded(tokens, log_probs.gather(-1, tokens[..., None])[..., 0], entropies)
