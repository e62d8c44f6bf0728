"""Sirius (arXiv 2211.08416): behaviour cloning with weights by class, w(c) = P*(c) / P(c)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import PoolSampler, members_by_class
from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput, bc_loss
from apo_trainer.methods.method import Method, Terms

_DRAWN = "EXPERT+POLICY+HUMAN"
_INTERVENTION_SHARE = 0.5


def class_weights(sizes: Mapping[str, int]) -> dict[str, float]:
    """Sirius' weight of a sample of each class, its own names in brackets.

    P*(human) [intervention] = 1/2, P*(expert) [demonstration] = P(expert), P*(undesirable) [pre-intervention] = 0,
    P*(policy) [robot] = what is left. P*(expert) is cut to 1/2 where demonstrations are more than half of the data,
    and the share of a class without samples goes to the others in proportion.

    Args:
        sizes: samples of each SampleClass.
    """
    total = sum(sizes.values())
    if total == 0:
        return dict.fromkeys(sizes, 0.0)
    expert = min(sizes[SampleClass.EXPERT] / total, 1.0 - _INTERVENTION_SHARE)
    wanted = {
        SampleClass.EXPERT: expert,
        SampleClass.POLICY: 1.0 - _INTERVENTION_SHARE - expert,
        SampleClass.HUMAN: _INTERVENTION_SHARE,
        SampleClass.UNDESIRABLE: 0.0,
    }
    present = sum(share for name, share in wanted.items() if sizes[name])
    return {
        name: share / present / (sizes[name] / total) if sizes[name] and present > 0 else 0.0
        for name, share in wanted.items()
    }


class Sirius(Method):
    """Batches drawn evenly from everything but undesirable steps, whose weight is 0, weighted in the loss."""

    def _sampler(self, data: TrainingData) -> PoolSampler:
        config = self.config
        members = members_by_class(data.train)
        self._weights = class_weights({name: len(items) for name, items in members.items()})
        drawn = [index for name, items in members.items() if name != SampleClass.UNDESIRABLE for index in items]
        return PoolSampler({_DRAWN: drawn}, {_DRAWN: 1.0}, config.batch_size, config.seed, config.views)

    def loss(self, terms: Terms) -> LossOutput:
        weights = torch.tensor([self._weights[name] for name in terms.classes], device=terms.policy_logps.device)
        return bc_loss(terms.policy_logps, terms.token_counts, weights)
