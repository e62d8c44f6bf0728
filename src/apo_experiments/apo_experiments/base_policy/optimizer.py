"""AdamW with warmup and a cosine, and batches drawn without repetition; of cloning and of vision alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from apo_trainer.optimisation.learning_rates import warmup_cosine

_BETAS = (0.9, 0.95)


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """How a part of the base policy is trained."""

    steps: int
    batch_size: int
    learning_rate: float  # after the warmup
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    seed: int


class Optimizer:
    """Updates parameters with the gradient of a loss.

    Args:
        groups: of AdamW, each with its `params`; `weight_decay` is that of the settings where a group has none.
        settings: rate, warmup, decay and clipping.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], settings: OptimizerSettings):
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        self._max_grad_norm = settings.max_grad_norm
        self._adamw = torch.optim.AdamW(
            [dict(group) for group in groups],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=_BETAS,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adamw, lambda step: warmup_cosine(step, settings.warmup_steps, settings.steps)
        )

    def step(self, loss: Tensor) -> None:
        """One optimizer step down the gradient of `loss` (0-d)."""
        self._adamw.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm)
        self._adamw.step()
        self._schedule.step()


def shuffled_batches(items: np.ndarray, settings: OptimizerSettings, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """`steps` batches of `items` (n,), each item once before any comes again; draws from `rng` when it must."""
    order = np.empty(0, dtype=np.int64)
    for _ in range(settings.steps):
        while len(order) < settings.batch_size:
            order = np.concatenate([order, rng.permutation(items)])
        batch, order = order[: settings.batch_size], order[settings.batch_size :]
        yield batch
