"""Training methods: which classes of samples a method draws, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from apo_trainer.losses import LossOutput, apo_loss, bc_loss, kto_loss

if TYPE_CHECKING:
    from apo_trainer.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Terms:
    """What a loss may be made of; B samples."""

    policy_logps: Tensor  # (B,) with gradient
    ref_logps: Tensor  # (B,)
    desirable: Tensor  # (B,) bool
    l1: Tensor  # (B,) normalised action units
    token_counts: Tensor  # (B,)
    z0: Tensor  # 0-d nats


@dataclass(frozen=True, slots=True)
class Method:
    """One way to learn from labelled steps."""

    loss: Callable[[Terms, TrainingConfig], LossOutput]
    preference: bool  # uses undesirable samples, and z0 from mismatched actions


def _apo(terms: Terms, config: TrainingConfig) -> LossOutput:
    return apo_loss(
        terms.policy_logps,
        terms.ref_logps,
        terms.desirable,
        terms.l1,
        terms.z0,
        config.beta,
        config.beta_desirable,
        config.beta_undesirable,
        config.weights_relative_to,
    )


def _kto(terms: Terms, config: TrainingConfig) -> LossOutput:
    return kto_loss(terms.policy_logps, terms.ref_logps, terms.desirable, terms.z0, config.beta)


def _bc(terms: Terms, config: TrainingConfig) -> LossOutput:
    return bc_loss(terms.policy_logps, terms.token_counts)


METHODS: Mapping[str, Method] = {
    "apo": Method(_apo, preference=True),
    "kto": Method(_kto, preference=True),
    "bc": Method(_bc, preference=False),  # on expert and human steps this is DAgger
}
