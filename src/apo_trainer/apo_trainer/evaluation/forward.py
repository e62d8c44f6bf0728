"""The forward pass of a batch: log-probabilities of its actions, and how far the likeliest bins are from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batch
from apo_trainer.evaluation.edge_tokens import EdgeTokens
from apo_trainer.evaluation.precision import matrix_products
from apo_trainer.losses import sequence_logps
from apo_trainer.losses.action_tolerance import action_scores
from apo_vla.policy import VlaPolicy


@dataclass(frozen=True, slots=True)
class Forward:
    """Results of a forward pass over B rows and R mismatched actions.

    `l1` and `edges` are of the likeliest bin of each token after the recorded ones (teacher forcing). A policy with a
    `decode_tolerance` serves the centre of the likeliest neighbourhood instead, which may be another bin.
    """

    logps: Tensor  # (B,) log pi_theta(a|o), nats
    l1: Tensor  # (B,) mean error of the likeliest bins, normalised action units, without gradient
    edges: Tensor  # (B,) share of likeliest bins at an edge of the range, 0..1, without gradient
    other_logps: Tensor  # (R,) log pi_theta(a'|o), nats


class ForwardPass:
    """Scores batches with the policy's weights of the moment, in the model's current mode.

    Args:
        policy: the model.
        config: precision, action_tolerance, gradient_checkpointing.
    """

    def __init__(self, policy: VlaPolicy, config: TrainingConfig):
        self._policy, self._precision = policy, config.precision
        self._gradient_checkpointing = config.gradient_checkpointing
        self._centres = torch.tensor(
            policy.codec.centres(np.arange(policy.codec.bins)), dtype=torch.float32, device=policy.device
        )
        self._scores = action_scores(policy, config.action_tolerance)
        self._edge_tokens = EdgeTokens(policy.codec, policy.device)

    def __call__(self, batch: Batch) -> Forward:
        """Scores the rows and the mismatched actions of a batch."""
        with matrix_products(self._precision, self._policy.device):
            logits, other_logits = self._policy.model.completion_logits(
                batch.inputs.embed(self._policy.model),
                batch.inputs.prompt_ids,
                batch.context,
                batch.others.rows,
                batch.others.tokens,
                self._gradient_checkpointing,
            )
        likeliest = logits.detach().argmax(-1)
        error = (self._centres[likeliest] - batch.actions).abs() * batch.mask
        return Forward(
            logps=sequence_logps(logits, batch.tokens, batch.mask, self._scores),
            l1=error.sum(-1) / batch.mask.sum(-1).clamp(min=1),
            edges=self._edge_tokens.shares(likeliest, batch.mask),
            other_logps=sequence_logps(other_logits, batch.others.tokens, batch.others.mask, self._scores),
        )
