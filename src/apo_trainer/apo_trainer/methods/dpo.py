"""DPO (arXiv 2305.18290) on action tokens: what a person did against what the policy would have done there."""

from __future__ import annotations

import dataclasses

from apo_trainer.config import TrainingConfig
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.negatives import has_shadow
from apo_trainer.data.sampler import ActionOf, Draw, PoolSampler, members_by_class
from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput, dpo_loss
from apo_trainer.methods.method import Method, Terms


class PairSampler:
    """Batches of pairs over the same observations: first the recorded actions, then the rejected ones.

    Rejected is the policy's shadow action where a person drove and it was recorded, else a synthetic one. Half a batch
    of pairs, at least one, keeps the number of rows at the batch size.
    """

    def __init__(self, data: TrainingData, config: TrainingConfig):
        shares: dict[str, float] = {
            SampleClass.EXPERT: config.share_expert,
            SampleClass.HUMAN: 1.0 - config.share_expert,
        }
        pools = members_by_class(data.train)
        self._pairs = PoolSampler(pools, shares, max(1, config.batch_size // 2), config.seed, config.views)
        self._shadow = {index for index in pools[SampleClass.HUMAN] if has_shadow(data.train[index])}
        self.counts = {**self._pairs.counts, "REJECTED": sum(self._pairs.counts.values())}
        self.sizes = self._pairs.sizes
        missing = len(pools[SampleClass.HUMAN]) - len(self._shadow)
        self.notes = list(self._pairs.notes)
        if missing:
            self.notes.append(f"{missing} HUMAN samples have no shadow action of the policy: a synthetic one instead")

    def batch(self, step: int) -> list[Draw]:
        """See BatchSampler."""
        preferred = self._pairs.batch(step)
        rejected = [
            dataclasses.replace(d, action=ActionOf.SHADOW if d.index in self._shadow else ActionOf.SYNTHETIC)
            for d in preferred
        ]
        return preferred + rejected


class Dpo(Method):
    """Pairs on one observation."""

    uses_reference = True

    def _sampler(self, data: TrainingData) -> PairSampler:
        return PairSampler(data, self.config)

    def loss(self, terms: Terms) -> LossOutput:
        return dpo_loss(terms.policy_logps, terms.ref_logps, self.config.beta)
