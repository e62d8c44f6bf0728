"""Action Preference Optimization (arXiv 2506.07127): KTO's value, samples weighted by their action error."""

from __future__ import annotations

import math

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import PoolSampler, balanced_sampler
from apo_trainer.losses import LossOutput, apo_loss, kl_estimate
from apo_trainer.methods.method import Method, Terms


class Apo(Method):
    """Balanced batches and adaptive weights."""

    uses_reference = uses_kl = True

    def _sampler(self, data: TrainingData) -> PoolSampler:
        return balanced_sampler(data.train, self.config)

    def loss(self, terms: Terms) -> LossOutput:
        config = self.config
        return apo_loss(
            terms.policy_logps,
            terms.ref_logps,
            terms.desirable,
            terms.l1,
            kl_estimate(terms.kl_policy_logps, terms.kl_ref_logps, config.kl_max or math.inf),
            config.beta,
            config.beta_desirable,
            config.beta_undesirable,
            config.weights_relative_to,
        )
