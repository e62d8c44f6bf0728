"""The forward pass of a batch: how likely its actions are, and how far the policy's own are from them."""

from __future__ import annotations

from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batch
from apo_trainer.evaluation.precision import matrix_products
from apo_vla.likelihood.types import Others, Pass, Scores
from apo_vla.policy import VlaPolicy


class ForwardPass:
    """Scores batches with the policy's weights of the moment, in the model's current mode.

    Args:
        policy: the model.
        config: likelihood, precision, gradient_checkpointing.
    """

    def __init__(self, policy: VlaPolicy, config: TrainingConfig):
        self._policy, self._precision = policy, config.precision
        self._likelihood = policy.likelihood(config.likelihood)
        self._gradient_checkpointing = config.gradient_checkpointing

    def __call__(self, batch: Batch) -> Scores:
        """Scores the rows and the mismatched actions of a batch."""
        model = self._policy.model
        with matrix_products(self._precision, self._policy.device):
            seen = Pass(
                batch.inputs.embed(model),
                batch.inputs.prompt_ids,
                batch.context,
                self._gradient_checkpointing,
                Others(batch.others.rows, batch.others.targets if len(batch.others.rows) else None),
            )
            return self._likelihood.scores(model, seen, batch.targets)
