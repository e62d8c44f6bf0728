"""Samples whose actions the policy's likelihood can score; the others are set aside with their reasons."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.samples import Sample, TrainingDataError
from apo_vla.likelihood.types import ActionLikelihood

_NUMBERS = re.compile(r"-?\d+")  # which differ from chunk to chunk


def with_scorable(data: TrainingData, likelihood: ActionLikelihood, rows: int) -> tuple[TrainingData, str]:
    """Leaves out samples that cannot be scored.

    Args:
        data: samples.
        likelihood: of the policy.
        rows: of its action chunk.

    Returns:
        What is left, and what was left out and why, in words; empty where nothing was.

    Raises:
        TrainingDataError: nothing is left.
    """
    reasons: Counter[str] = Counter()

    def kept(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
        found = []
        for sample in samples:
            fault = likelihood.fault(*sample.chunk(rows))
            if fault:
                reasons[_NUMBERS.sub("N", fault)] += 1
            else:
                found.append(sample)
        return tuple(found)

    left = dataclasses.replace(data, train=kept(data.train), held_out=kept(data.held_out))
    if not reasons:
        return data, ""
    total = len(data.train) + len(data.held_out)
    note = "; ".join(f"{count} of {total} chunks are left out: {reason}" for reason, count in reasons.most_common())
    if not left.train:
        raise TrainingDataError(note)
    return left, note
