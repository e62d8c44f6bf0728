"""A training step of APO on a flow head as it is written down first: each draw from a forward pass of its own.

What the trainer is compared with. A pass takes images and prompt through the whole model for one draw of noise and
time; policy and reference each score the batch's actions and the mismatched ones. Loss, draws and data are the
trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from train_step.naive_step import NaiveBatch, naive_loss, optimize

from apo_trainer.config import TrainingConfig
from apo_vla.families.small_vla.flow import SmallFlow
from apo_vla.likelihood.flow import draws
from apo_vla.likelihood.types import Targets
from apo_vla.policy import Prepared, VlaPolicy


class NaiveFlowStep:
    """Trains the adapter that `policy` has, from the reference that it is now.

    Args:
        policy: with a flow head and an adapter attached.
        parameters: of the adapter.
        config: method apo.
    """

    def __init__(self, policy: VlaPolicy, parameters: Mapping[str, Tensor], config: TrainingConfig):
        assert isinstance(policy.model, SmallFlow)
        self._model, self._config = policy.model, config
        self._parameters = list(parameters.values())
        self._reference = [p.detach().clone() for p in self._parameters]
        self._optimizer = torch.optim.AdamW(self._parameters, weight_decay=config.weight_decay)

    def step(self, rate: float, data: NaiveBatch) -> float:
        """One optimizer step; its loss."""
        batch, rows = data.batch, list(data.batch.others.rows)
        own = data.inputs, batch.targets
        other = Prepared(*(tensor[rows] for tensor in data.inputs)), batch.others.targets
        with torch.no_grad():
            other_logps, _ = self._score(*other)
            current = [p.clone() for p in self._parameters]
            torch._foreach_copy_(self._parameters, self._reference)
            ref_logps, _ = self._score(*own)
            other_ref_logps, _ = self._score(*other)
            torch._foreach_copy_(self._parameters, current)
        logps, chosen = self._score(*own)
        error = (chosen.detach() - batch.targets.actions).abs() * batch.targets.mask
        scores = logps, ref_logps, other_logps, other_ref_logps
        loss = naive_loss(batch, scores, error, self._config.beta)
        return optimize(loss, self._optimizer, self._parameters, self._config.max_grad_norm, rate)

    def _score(self, inputs: Prepared, targets: Targets) -> tuple[Tensor, Tensor]:
        """Scores (n,) of actions (n, L), and the actions that the policy would choose."""
        shape, settings = self._model.config, self._config.likelihood
        noise, time = draws(targets.seeds, settings.flow_draws, shape.chunk, shape.action_size)
        actions = targets.outputs.unflatten(1, (shape.chunk, shape.action_size))
        errors, chosen = [], actions
        for draw in range(settings.flow_draws):
            share = time[:, draw, None, None]
            noisy = share * noise[:, draw] + (1 - share) * actions
            with torch.no_grad():
                features = self._model.features(inputs.images, inputs.state)
            cache = self._model.prefix_cache(features, inputs.prompt_ids)
            velocity = self._model.velocity(cache, noisy[:, None], time[:, draw, None])[:, 0]
            errors.append((velocity - noise[:, draw] + actions).square())
            if draw == 0:
                chosen = noise[:, 0] - velocity
        mean = torch.stack(errors).mean(0).flatten(1)
        return -settings.flow_scale * (mean * targets.mask).sum(-1), chosen.flatten(1)
