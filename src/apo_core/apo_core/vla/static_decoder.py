"""Greedy decoding of a few tokens on a LlamaModel's own weights, with a cache of fixed size.

It does what `LlamaModel.forward` with a key-value cache does, without the per-token overhead. LoRA is in effect: merged
into copies of the weights, never into the weights themselves, whenever they or the active adapter changed.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaModel

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


class StaticDecoder:
    """Decodes with `model`'s current weights. Not thread-safe.

    Raises:
        ValueError: a Llama variant whose arithmetic this does not repeat (grouped heads, biases, scaled rotary).
    """

    def __init__(self, model: LlamaModel):
        config = model.config
        rope = config.rope_parameters["rope_type"]
        if config.num_key_value_heads != config.num_attention_heads or config.attention_bias or config.mlp_bias:
            raise ValueError("StaticDecoder needs as many key-value heads as heads, and no biases")
        if rope != "default" or config.hidden_act != "silu":
            raise ValueError(f"StaticDecoder needs rope_type 'default' and silu, got {rope!r}, {config.hidden_act!r}")
        # not a child module: the model owns itself
        self._model = [model]
        self._heads = config.num_attention_heads
        self._head_size = config.hidden_size // config.num_attention_heads
        self._eps = config.rms_norm_eps
        self._key: tuple | None = None
        self._layers: list[tuple[torch.Tensor, ...]] = []

    def generate(
        self, prefix: torch.Tensor, embedding: torch.Tensor, head: torch.Tensor, steps: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy tokens after `prefix`; call under inference_mode.

        Args:
            prefix: (B, T, d) embeddings.
            embedding: (V, d) of the tokens that may follow.
            head: (V, d) output rows of the same tokens.
            steps: tokens to decode.

        Returns:
            tokens int64 (B, steps), log_probs float32 (B, steps) in nats.
        """
        self._refresh()
        batch, start, _ = prefix.shape
        total = start + steps
        positions = torch.arange(total, device=prefix.device)[None]
        cos, sin = (table[0] for table in self._model[0].rotary_emb(prefix, positions))  # (total, head size)
        shape = (len(self._layers), 2, batch, self._heads, total, self._head_size)
        cache = prefix.new_empty(shape)
        norm = self._model[0].norm.weight
        hidden, first, tokens, log_probs = prefix, 0, [], []
        for step in range(steps):
            last = first + hidden.shape[1]
            hidden = self._forward(hidden, cache, cos[first:last], sin[first:last], first, last)
            logits = F.linear(F.rms_norm(hidden[:, -1], (hidden.shape[-1],), norm, self._eps), head).float()
            value, token = logits.max(dim=-1)
            tokens.append(token)
            log_probs.append(value - logits.logsumexp(dim=-1))
            first = last
            if step + 1 < steps:
                hidden = F.embedding(token, embedding)[:, None]
        return torch.stack(tokens, dim=1), torch.stack(log_probs, dim=1)

    def _forward(self, x, cache, cos, sin, first: int, last: int) -> torch.Tensor:
        """Hidden states (B, n, d) of positions first..last-1, whose keys and values go into the cache."""
        batch, count, width = x.shape
        heads, size = self._heads, self._head_size
        cos, sin = cos[:, None], sin[:, None]
        for (norm1, qkv, out, norm2, gate_up, down), (keys, values) in zip(self._layers, cache, strict=True):
            # rows of qkv: q, k, rotate_half(q), rotate_half(k), v; so that rotary needs no slicing
            joint = F.linear(F.rms_norm(x, (width,), norm1, self._eps), qkv).view(batch, count, 5 * heads, size)
            rotated = torch.addcmul(joint[:, :, : 2 * heads] * cos, joint[:, :, 2 * heads : 4 * heads], sin)
            rotated = rotated.transpose(1, 2)
            keys[:, :, first:last] = rotated[:, heads:]
            values[:, :, first:last] = joint[:, :, 4 * heads :].transpose(1, 2)
            mixed = F.scaled_dot_product_attention(
                rotated[:, :heads], keys[:, :, :last], values[:, :, :last], is_causal=count > 1
            )
            x = x + F.linear(mixed.transpose(1, 2).reshape(batch, count, width), out)
            gate, up = F.linear(F.rms_norm(x, (width,), norm2, self._eps), gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, down)
        return x

    def _refresh(self) -> None:
        """Rebuilds the merged weights if a parameter was written to or the active adapters changed."""
        layers = self._model[0].layers
        key = tuple(_state_of(p) for layer in layers for p in _linears(layer))
        if key == self._key:
            return
        self._layers = [self._merge(layer) for layer in layers]
        self._key = key

    def _merge(self, layer: nn.Module) -> tuple[torch.Tensor, ...]:
        q, k, v, out, gate, up, down = (_effective_weight(linear) for linear in _linears(layer))
        qkv = torch.cat([q, k, self._rotate_rows(q), self._rotate_rows(k), v])
        norms = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        return norms[0], qkv, out, norms[1], torch.cat([gate, up]), down

    def _rotate_rows(self, weight: torch.Tensor) -> torch.Tensor:
        """Rows (d, d) such that their product with x is rotate_half, head by head, of `weight`'s product with x."""
        low, high = weight.view(self._heads, 2, self._head_size // 2, -1).unbind(dim=1)
        return torch.stack([-high, low], dim=1).reshape(weight.shape)


def _linears(layer: nn.Module) -> list[nn.Module]:
    return [getattr(layer.self_attn, name) for name in _PROJECTIONS] + [getattr(layer.mlp, name) for name in _MLP]


def _state_of(linear: nn.Module) -> tuple:
    """Changes whenever the product of this layer may have changed."""
    adapters = (getattr(linear, "disable_adapters", None), tuple(getattr(linear, "active_adapters", ())))
    # in-place writes (optimizer, copy_) raise a tensor's version; a new tensor has another address
    return adapters, tuple((p.data_ptr(), p._version) for p in linear.parameters())


def _effective_weight(linear: nn.Module) -> torch.Tensor:
    """Weight with the active adapters added, a new tensor where there are any."""
    base = getattr(linear, "base_layer", None)
    if base is None:
        return linear.weight
    if linear.merged:
        raise ValueError("StaticDecoder: an adapter was merged in place, which changes the base model")
    weight = base.weight
    if not linear.disable_adapters:
        for name in linear.active_adapters:
            if name in linear.lora_A:
                weight = weight + linear.get_delta_weight(name)
    return weight
