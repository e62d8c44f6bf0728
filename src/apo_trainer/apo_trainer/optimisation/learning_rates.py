"""The learning rate of each step."""

from __future__ import annotations

import math

from apo_trainer.config import TrainingConfig


def learning_rate(step: int, config: TrainingConfig, steps: int) -> float:
    """Rate of optimizer step `step` (from 0) of `steps`: linear warmup, then a cosine to `learning_rate_end` of it."""
    return config.learning_rate * warmup_cosine(step, config.warmup_steps, steps, config.learning_rate_end)


def warmup_cosine(step: int, warmup: int, steps: int, end: float = 0.02) -> float:
    """Factor of optimizer step `step` (from 0) of `steps`: linear warmup, then half a cosine down to `end`."""
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * share))
