"""Losses as pure functions of tensors: log-probabilities, action errors and labels of a batch in, one number out.

It imports nothing else of the package. Begin with terms.py; preference.py has the equations of APO and KTO.
"""

from apo_trainer.losses.cloning import bc_loss
from apo_trainer.losses.pairs import dpo_loss, rpro_loss, tpo_loss
from apo_trainer.losses.preference import (
    adaptive_weights,
    apo_loss,
    kl_estimate,
    kto_loss,
    preference_loss,
)
from apo_trainer.losses.released_apo import apo_reference_compat_loss
from apo_trainer.losses.terms import LossOutput

__all__ = [
    "LossOutput",
    "adaptive_weights",
    "apo_loss",
    "apo_reference_compat_loss",
    "bc_loss",
    "dpo_loss",
    "kl_estimate",
    "kto_loss",
    "preference_loss",
    "rpro_loss",
    "tpo_loss",
]
