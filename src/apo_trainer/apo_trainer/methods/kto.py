"""KTO (arXiv 2402.01306) on action tokens: APO with unit weights."""

from __future__ import annotations

import math

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import PoolSampler, balanced_sampler
from apo_trainer.losses import LossOutput, kl_estimate, kto_loss
from apo_trainer.methods.method import Method, Terms


class Kto(Method):
    """Balanced batches, every sample of weight one."""

    uses_reference = uses_kl = True

    def _sampler(self, data: TrainingData) -> PoolSampler:
        return balanced_sampler(data.train, self.config)

    def loss(self, terms: Terms) -> LossOutput:
        z0 = kl_estimate(terms.kl_policy_logps, terms.kl_ref_logps, self.config.kl_max or math.inf)
        return kto_loss(terms.policy_logps, terms.ref_logps, terms.desirable, z0, self.config.beta)
