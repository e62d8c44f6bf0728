"""RPRO (arXiv 2606.05468): what a person did against what the policy itself would have done on that very observation.

The pairs are those of shadow actions alone: nothing synthetic is rejected. The proximal term keeps both from falling.
"""

from __future__ import annotations

import dataclasses

from apo_trainer.config import TrainingConfig
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.negatives import has_shadow
from apo_trainer.data.sampler import SHADOW_POOL, ActionOf, Draw, PoolSampler, members_by_class
from apo_trainer.data.samples import SampleClass, TrainingDataError
from apo_trainer.losses import LossOutput, rpro_loss
from apo_trainer.methods.method import Method, Terms


class ShadowPairSampler:
    """Batches of pairs: first the person's actions, then the policy's own; half a batch of pairs, at least one."""

    def __init__(self, data: TrainingData, config: TrainingConfig):
        human = members_by_class(data.train)[SampleClass.HUMAN]
        pool = [index for index in human if has_shadow(data.train[index])]
        if not pool:
            raise TrainingDataError(
                f"none of {len(human)} HUMAN samples has a shadow action of the policy: rpro has no pairs"
            )
        pairs = max(1, config.batch_size // 2)
        self._pairs = PoolSampler({SHADOW_POOL: pool}, {SHADOW_POOL: 1.0}, pairs, config.seed, config.views)
        self.counts = {SampleClass.HUMAN: pairs, SHADOW_POOL: pairs}
        self.sizes = {SampleClass.HUMAN: len(pool), SHADOW_POOL: len(pool)}
        self.notes = list(self._pairs.notes)
        if len(pool) < len(human):
            self.notes.append(f"{len(human) - len(pool)} HUMAN samples have no shadow action: they are left out")

    def batch(self, step: int) -> list[Draw]:
        """See BatchSampler."""
        preferred = self._pairs.batch(step)
        return [*preferred, *(dataclasses.replace(draw, action=ActionOf.SHADOW) for draw in preferred)]


class Rpro(Method):
    """Pairs on one observation, with a proximal term."""

    uses_reference = True

    def _sampler(self, data: TrainingData) -> ShadowPairSampler:
        return ShadowPairSampler(data, self.config)

    def loss(self, terms: Terms) -> LossOutput:
        return rpro_loss(terms.policy_logps, terms.ref_logps, self.config.beta, self.config.rpro_alpha)
