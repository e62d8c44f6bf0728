"""Greedy decoding of a few tokens with transformers' own key-value cache, among the action tokens alone."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from transformers import DynamicCache, PreTrainedModel

from apo_vla.actions.classes import ActionClasses


def greedy_decode(
    model: PreTrainedModel,
    prefix: torch.Tensor,
    mask: torch.Tensor | None,
    embedding: torch.Tensor,
    head: torch.Tensor,
    steps: int,
    classes: ActionClasses | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens after a prefix; call under no_grad or inference_mode.

    Args:
        model: a decoder without head (LlamaModel); whatever adapter is active takes part.
        prefix: (B, T, d) embeddings.
        mask: bool (B, T), False for padding; None where there is none.
        embedding: (V, d) input rows of the tokens that may follow.
        head: (V, d) output rows of the same tokens.
        steps: tokens to decode.
        classes: which tokens are one action; None: each is one of its own.

    Returns:
        tokens int64 (B, steps), log_probs float32 (B, steps) in nats of the actions that they are, among the V tokens.
    """
    cache = DynamicCache(config=model.config)
    inputs, tokens, scores = prefix, [], []
    for step in range(steps):
        hidden = model(
            inputs_embeds=inputs,
            attention_mask=None if mask is None else mask.long(),
            position_ids=None if mask is None else positions(mask)[:, -inputs.shape[1] :],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        logits = F.linear(hidden[:, -1], head).float()
        token = logits.argmax(dim=-1)
        tokens.append(token)
        scores.append(logits)
        if step + 1 < steps:
            inputs = F.embedding(token, embedding)[:, None]
            mask = None if mask is None else F.pad(mask, (0, 1), value=True)
    decoded, logits = torch.stack(tokens, dim=1), torch.stack(scores, dim=1)
    if classes is not None:
        return decoded, classes.log_probs(logits, decoded)
    return decoded, logits.log_softmax(dim=-1).gather(-1, decoded[..., None])[..., 0]


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position of each token (B, T) among those that are no padding."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)
