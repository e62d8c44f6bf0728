"""A training step of APO as it is written down first: every log-probability from a forward pass of its own.

What the trainer is compared with. A pass takes images and prompt through the whole model, has logits over the whole
vocabulary at every position, and a log-softmax over them; policy and reference each score the batch's actions and the
mismatched ones. Loss and data are the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batch
from apo_vla.policy import Prepared, VlaPolicy


@dataclass(frozen=True)
class NaiveBatch:
    """A batch with its images; B rows."""

    inputs: Prepared
    batch: Batch


class NaiveStep:
    """Trains the adapter that `policy` has, from the reference that it is now.

    Args:
        policy: with an adapter attached.
        parameters: of the adapter.
        config: method apo.
    """

    def __init__(self, policy: VlaPolicy, parameters: Mapping[str, Tensor], config: TrainingConfig):
        self._policy, self._config = policy, config
        self._parameters = list(parameters.values())
        self._reference = [p.detach().clone() for p in self._parameters]
        self._optimizer = torch.optim.AdamW(self._parameters, weight_decay=config.weight_decay)
        model = policy.model
        size = model.config.prompt_vocabulary + model.config.bins
        # a row for every token, as a checkpoint has it; those of the action tokens are the model's
        generator = torch.Generator().manual_seed(0)
        self._head = torch.randn(size, model.config.hidden, generator=generator) * 0.02
        self._head[-model.config.bins :] = model.action_head.weight.detach()
        self._centres = torch.tensor(policy.codec.centres(range(model.config.bins)), dtype=torch.float32)

    def step(self, rate: float, data: NaiveBatch) -> float:
        """One optimizer step; its loss."""
        batch, rows = data.batch, list(data.batch.others.rows)
        own = data.inputs, batch.targets.outputs, batch.targets.mask
        other = (
            Prepared(*(tensor[rows] for tensor in data.inputs)),
            batch.others.targets.outputs,
            batch.others.targets.mask,
        )
        with torch.no_grad():
            other_logps, _ = self._score(*other)
            current = [p.clone() for p in self._parameters]
            torch._foreach_copy_(self._parameters, self._reference)
            ref_logps, _ = self._score(*own)
            other_ref_logps, _ = self._score(*other)
            torch._foreach_copy_(self._parameters, current)
        logps, best = self._score(*own)
        error = (self._centres[best] - batch.targets.actions).abs() * batch.targets.mask
        scores = logps, ref_logps, other_logps, other_ref_logps
        loss = naive_loss(batch, scores, error, self._config.beta)
        return optimize(loss, self._optimizer, self._parameters, self._config.max_grad_norm, rate)

    def _score(self, inputs: Prepared, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (n,) of action tokens (n, L), and the likeliest bins (n, L)."""
        model = self._policy.model
        first = model.config.prompt_vocabulary
        with torch.no_grad():
            features = model.features(inputs.images, inputs.state)
        text = model.language_model.embed_tokens(torch.cat([inputs.prompt_ids, tokens + first], dim=1))
        x = torch.cat([features, text], dim=1)
        hidden = model.language_model(inputs_embeds=x, use_cache=False).last_hidden_state
        logps = F.linear(hidden, self._head)[:, :-1].float().log_softmax(-1)
        # the policy that serves chooses among action tokens only
        logps = logps[:, -tokens.shape[1] :, first:]
        chosen = logps.gather(-1, tokens[..., None])[..., 0] - logps.logsumexp(-1)
        return (chosen * mask).sum(-1), logps.argmax(-1)


def naive_loss(batch: Batch, scores: tuple[Tensor, Tensor, Tensor, Tensor], error: Tensor, beta: float) -> Tensor:
    """The loss of APO.

    Args:
        batch: B rows.
        scores: of policy and reference (B,), and of both for the mismatched actions (R,).
        error: (B, L), 0 where masked.
        beta: of the KTO value.
    """
    logps, ref_logps, other_logps, other_ref_logps = scores
    z0 = (other_logps - other_ref_logps).mean().clamp(min=0)
    l1 = error.sum(-1) / batch.targets.mask.sum(-1)
    shares = l1 / l1.sum() * len(l1)
    weights = torch.where(batch.desirable, 1 - torch.exp(-shares), torch.exp(-shares))
    ratio = torch.where(batch.desirable, logps - ref_logps - z0, z0 - logps + ref_logps)
    return (weights * (1 - torch.sigmoid(beta * ratio))).mean()


def optimize(
    loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[Tensor], max_grad_norm: float, rate: float
) -> float:
    """One optimizer step; returns the loss."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss.item()
