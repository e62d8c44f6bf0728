"""Behaviour cloning of the demonstrations alone (SFT): what the same training gives without any interaction."""

from __future__ import annotations

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import PoolSampler, members_by_class
from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput, bc_loss
from apo_trainer.methods.method import Method, Terms


class BehaviourCloning(Method):
    """Batches of expert steps."""

    def _sampler(self, data: TrainingData) -> PoolSampler:
        config = self.config
        pools = members_by_class(data.train)
        return PoolSampler(pools, {SampleClass.EXPERT: 1.0}, config.batch_size, config.seed, config.views)

    def loss(self, terms: Terms) -> LossOutput:
        return bc_loss(terms.policy_logps, terms.token_counts)
