"""Behaviour cloning of the desirable samples."""

from __future__ import annotations

from apo_trainer.dataset import TrainingData
from apo_trainer.losses import LossOutput, bc_loss
from apo_trainer.methods.method import Method, Terms
from apo_trainer.sampler import BalancedSampler, balanced_sampler


class BehaviourCloning(Method):
    """Balanced batches without undesirable samples."""

    def _sampler(self, data: TrainingData) -> BalancedSampler:
        return balanced_sampler(data, self.config, preference=False)

    def loss(self, terms: Terms) -> LossOutput:
        return bc_loss(terms.policy_logps, terms.token_counts)
