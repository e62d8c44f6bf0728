"""How many optimizer steps a run takes. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apo_trainer.data.samples import SampleClass

if TYPE_CHECKING:
    from apo_trainer.config import TrainingConfig
    from apo_trainer.data.sampler import BatchSampler

_SCARCE = (SampleClass.HUMAN, SampleClass.UNDESIRABLE)


def planned_steps(config: TrainingConfig, sampler: BatchSampler) -> int:
    """`config.steps`; where that is 0, what `passes` over the scarce samples take, within min_steps and max_steps.

    Scarce are human and undesirable samples; where a batch has no row of them by that name, all it is drawn from.
    """
    if config.steps:
        return config.steps
    drawn = [name for name, rows in sampler.counts.items() if rows and name in sampler.sizes]
    names = [name for name in _SCARCE if name in drawn] or drawn
    samples, rows = (sum(numbers[name] for name in names) for numbers in (sampler.sizes, sampler.counts))
    steps = math.ceil(config.passes * samples / rows)
    return min(max(steps, config.min_steps), config.max_steps)
