"""APO with the choices of the authors' released code where they differ from the paper, for comparisons.

Reproduced: the loss (see `apo_reference_compat_loss`), the expert share drawn from demonstrations and from all policy
steps that are not undesirable, and the filter that drops steps with an action outside the robot's range or with next
to no motion (gripper-only steps among them). Not reproduced: the index error of its K window, which can relabel human
steps and other episodes, and the end-of-sequence token, which the action heads here do not have.
"""

from __future__ import annotations

import numpy as np

from apo_core.contract.contract import Contract
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import PoolSampler, balanced_sampler, members_by_class
from apo_trainer.data.samples import Sample, SampleClass
from apo_trainer.losses import LossOutput, apo_reference_compat_loss
from apo_trainer.methods.method import Method, Terms

_LEAST_MOTION = 0.05  # sum of |a| over all but the gripper, a in -1..1


def is_kept(sample: Sample, contract: Contract) -> bool:
    """Whether the released code's filter keeps a sample; actions are scaled by the contract's range to -1..1."""
    low, high = (np.asarray(values, dtype=np.float64) for values in (contract.action.low, contract.action.high))
    action = 2.0 * (sample.episode.targets[sample.step] - low) / (high - low) - 1.0
    return bool(np.abs(action).max() <= 1.0 and np.abs(action[:-1]).sum() >= _LEAST_MOTION)


class ApoReferenceCompat(Method):
    """Balanced batches of filtered samples; `beta`, `beta_*`, `kl_max` and `policy_share` have no effect."""

    uses_reference = uses_kl = True

    def _sampler(self, data: TrainingData) -> PoolSampler:
        members = {
            name: [index for index in items if is_kept(data.train[index], data.known_contract())]
            for name, items in members_by_class(data.train).items()
        }
        members[SampleClass.EXPERT] += members[SampleClass.POLICY]
        members[SampleClass.POLICY] = []
        sampler = balanced_sampler(data.train, self.config, members)
        dropped = len(data.train) - sum(len(items) for items in members.values())
        if dropped:
            sampler.notes.append(f"{dropped} samples were filtered as the released code does")
        return sampler

    def loss(self, terms: Terms) -> LossOutput:
        return apo_reference_compat_loss(
            terms.policy_logps,
            terms.ref_logps,
            terms.desirable,
            terms.l1,
            terms.kl_policy_logps,
            terms.kl_ref_logps,
        )
