"""Teacher-forced passes through a LlamaModel's own layers, for training and scoring.

It does what `LlamaModel.forward` does, adapters included, without unused work: the last layer is computed at the
action positions only, and further completions of the same prefix reuse its keys and values.
"""

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
class Completions:
    """Further actions for rows of a batch; R of them."""

    rows: Sequence[int]  # (R,) the row whose prefix each one follows
    embeddings: Tensor  # (R, L - 1, d) of all its tokens but the last


def hidden_states(
    model: LlamaModel,
    prefix: Tensor,
    embeddings: Tensor,
    others: Completions | None = None,
    checkpointing: bool = False,
) -> tuple[Tensor, Tensor]:
    """Final hidden states at the positions that predict action tokens, after the last norm.

    Args:
        model: its layers are called one by one, in whatever mode they are.
        prefix: (B, T, d) embeddings of everything before the action.
        embeddings: (B, L - 1, d) of all action tokens but the last.
        others: completions that are scored without gradient.
        checkpointing: the backward pass computes each layer again instead of keeping its activations.

    Returns:
        (B, L, d), and (R, L, d) without gradient.
    """
    x = torch.cat([prefix, embeddings], dim=1)
    start, total = prefix.shape[1], x.shape[1]
    length = total - start + 1
    positions = torch.arange(total, device=x.device)[None]
    rotary = model.rotary_emb(x, positions)
    # what an action position sees: the prefix, and the action tokens up to itself
    visible = torch.ones(length, total, dtype=torch.bool, device=x.device).tril(start - 1)
    rows = [] if others is None else list(others.rows)
    y = None if others is None else others.embeddings.detach()
    last = len(model.layers) - 1
    for number, layer in enumerate(model.layers):
        arguments = (layer, x, rotary, length if number == last else total, visible)
        if checkpointing and torch.is_grad_enabled():
            x, keys, values = checkpoint(_block, *arguments, use_reentrant=False)
        else:
            x, keys, values = _block(*arguments)
        if y is not None and length > 1:
            y = _continue(layer, y, rotary, (keys, values), rows, start, visible[1:])
    x = model.norm(x)
    if y is None:
        return x, x.new_empty(0, length, x.shape[-1])
    with torch.no_grad():
        # the first token is predicted by the last position of the prefix, which is the same for every completion
        return x, torch.cat([x.detach()[rows, :1], model.norm(y)], dim=1)


def _block(
    layer: nn.Module, x: Tensor, rotary: tuple[Tensor, Tensor], count: int, visible: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A decoder layer at the last `count` positions: (B, count, d), and the keys and values of all positions."""
    attention = layer.self_attn
    inner = layer.input_layernorm(x)
    keys, values = (heads(apply_linear(p, inner), attention) for p in (attention.k_proj, attention.v_proj))
    everywhere = count == x.shape[1]
    if not everywhere:
        x, inner = x[:, -count:], inner[:, -count:]
    queries = heads(apply_linear(attention.q_proj, inner), attention)
    queries = rotate(queries, rotary, keys.shape[2] - count)
    keys = rotate(keys, rotary, 0)
    mixed = attend(attention, queries, keys, values, None if everywhere else visible)
    return rest(layer, x, mixed), keys, values


@torch.no_grad()
def _continue(
    layer: nn.Module,
    y: Tensor,
    rotary: tuple[Tensor, Tensor],
    cached: tuple[Tensor, Tensor],
    rows: list[int],
    start: int,
    visible: Tensor,
) -> Tensor:
    """A decoder layer for completions (R, L - 1, d) whose prefix, `start` positions, has keys and values already."""
    attention = layer.self_attn
    inner = layer.input_layernorm(y)
    queries, keys, values = (
        heads(apply_linear(project, inner), attention)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    old_keys, old_values = (tensor.detach()[rows, :, :start] for tensor in cached)
    keys = torch.cat([old_keys, rotate(keys, rotary, start)], dim=2)
    mixed = attend(attention, rotate(queries, rotary, start), keys, torch.cat([old_values, values], dim=2), visible)
    return rest(layer, y, mixed)
