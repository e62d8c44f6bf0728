"""Interface between a training method and the training loop, which is the same for all methods."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import BatchSampler
from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput, bc_loss

if TYPE_CHECKING:
    from apo_trainer.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Terms:
    """Inputs of a loss; B rows in the order in which the method drew them.

    Only `policy_logps` has a gradient. A method without `uses_reference` gets zeros for the reference, and one without
    `uses_kl` empty tensors for the mismatched pairs.
    """

    policy_logps: Tensor  # (B,) log pi_theta(a|o), nats
    ref_logps: Tensor  # (B,) log pi_ref(a|o), nats
    desirable: Tensor  # (B,) bool
    classes: tuple[SampleClass, ...]  # (B,) what the rows are balanced over
    l1: Tensor  # (B,) error of the likeliest bins (see `Forward`), normalised action units
    edges: Tensor  # (B,) share of the likeliest bins at an edge of the range, 0..1
    token_counts: Tensor  # (B,) action tokens behind each log-probability
    kl_policy_logps: Tensor  # (B',) log pi_theta(a'|o), a' the action of another sample
    kl_ref_logps: Tensor  # (B',) log pi_ref(a'|o)


class Method(ABC):
    """One way to train from labelled steps; an object for each run.

    Args:
        data: what there is to draw from.
        config: parameters.

    Raises:
        TrainingDataError: the data lack what the method needs.
    """

    uses_reference: ClassVar[bool] = False  # compares with pi_ref, and so separates desirable from undesirable
    uses_kl: ClassVar[bool] = False  # needs mismatched pairs, for the KL estimate z0
    own_nll_weight: ClassVar[float] = 0.0  # of the imitation term, where the configuration leaves it to the method

    def __init__(self, data: TrainingData, config: TrainingConfig):
        self.config = config
        self.sampler: BatchSampler = self._sampler(data)

    @abstractmethod
    def _sampler(self, data: TrainingData) -> BatchSampler:
        """How batches are drawn."""

    def total_loss(self, terms: Terms) -> LossOutput:
        """The loss, and for a method with a reference the weighted mean -log pi of desirable tokens."""
        given = self.config.nll_weight
        out, weight = self.loss(terms), self.own_nll_weight if given < 0 else given
        if not (weight and self.uses_reference and bool(terms.desirable.any())):
            return out
        nll = bc_loss(terms.policy_logps, terms.token_counts, terms.desirable.float()).loss
        return dataclasses.replace(out, loss=out.loss + weight * nll)

    def imitation_loss(self, terms: Terms) -> LossOutput:
        """The mean -log pi of desirable tokens alone, for the steps before the method's own."""
        out = bc_loss(terms.policy_logps, terms.token_counts, terms.desirable.float())
        ratios = (terms.policy_logps - terms.ref_logps).detach() if self.uses_reference else out.log_ratios
        return dataclasses.replace(out, log_ratios=ratios)

    @abstractmethod
    def loss(self, terms: Terms) -> LossOutput:
        """The loss of a whole batch, a pure function of `terms`."""
