"""Factors on the learning rate, by step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, warmup: int, steps: int, end: float = 0.02) -> float:
    """Factor of optimizer step `step` (from 0) of `steps`: linear warmup, then half a cosine down to `end`."""
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * share))
