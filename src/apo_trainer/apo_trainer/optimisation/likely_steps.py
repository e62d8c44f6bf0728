"""Undesirable steps that the reference could have taken: those of another adapter may be ones it never would."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from apo_trainer.data.batches import Batcher
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import Draw
from apo_trainer.data.samples import Sample
from apo_trainer.evaluation.reference import ReferenceLogps
from apo_vla.policy import VlaPolicy

_BATCH = 32


def token_logps(policy: VlaPolicy, samples: Sequence[Sample], reference: ReferenceLogps) -> list[float]:
    """Mean log-probability a token of each sample's chunk under the reference, nats; plain views."""
    batcher = Batcher(policy, samples, FeatureSettings(seed=0, cache_mb=0))
    values: list[float] = []
    for first in range(0, len(samples), _BATCH):
        batch = batcher.batch([Draw(i, 0) for i in range(first, min(first + _BATCH, len(samples)))])
        logps, _ = reference.of(batch)
        values += (logps / batch.targets.mask.sum(-1).clamp(min=1)).tolist()
    return values


def with_likely(data: TrainingData, logps: Sequence[float], least: float, keep: int) -> tuple[TrainingData, str]:
    """Leaves out undesirable training samples below `least`, but never the most likely `keep`.

    Args:
        data: samples.
        logps: of the undesirable training samples in their order, nats a token.
        least: nats a token.
        keep: samples.

    Returns:
        What is left, and what was done, in words.
    """
    undesirable = [i for i, sample in enumerate(data.train) if not sample.desirable]
    by_logp = sorted(range(len(undesirable)), key=lambda i: (-logps[i], i))
    likely = sum(value >= least for value in logps)
    kept = {undesirable[i] for i in by_logp[: max(likely, keep)]}
    note = (
        f"{likely} of {len(undesirable)} undesirable steps have {least:g} nats a token or more (undesirable_min_logp)"
    )
    if len(kept) > likely:
        note += f"; the {len(kept)} most likely are used (undesirable_keep_at_least = {keep})"
    train = tuple(sample for i, sample in enumerate(data.train) if sample.desirable or i in kept)
    return dataclasses.replace(data, train=train), note
