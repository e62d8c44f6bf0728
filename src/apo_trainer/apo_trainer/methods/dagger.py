"""DAgger (arXiv 1011.0686) with a person as the expert: behaviour cloning of the aggregate of all they did."""

from __future__ import annotations

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import PoolSampler, members_by_class
from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput, bc_loss
from apo_trainer.methods.method import Method, Terms

_AGGREGATE = "EXPERT+HUMAN"


class Dagger(Method):
    """Batches drawn evenly from all expert and human steps, as many of each as there are."""

    def _sampler(self, data: TrainingData) -> PoolSampler:
        config = self.config
        members = members_by_class(data.train)
        pools = {_AGGREGATE: members[SampleClass.EXPERT] + members[SampleClass.HUMAN]}
        return PoolSampler(pools, {_AGGREGATE: 1.0}, config.batch_size, config.seed, config.views)

    def loss(self, terms: Terms) -> LossOutput:
        return bc_loss(terms.policy_logps, terms.token_counts)
