"""How an adapter does on samples that were never trained on, beside its reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from apo_core.vla.policy import VlaPolicy
from apo_trainer.batches import Batch, Batcher
from apo_trainer.dataset import Sample, SampleClass
from apo_trainer.features import FeatureSettings
from apo_trainer.gate import ClassMeans
from apo_trainer.reference import Reference
from apo_trainer.sampler import Draw
from apo_trainer.update import Forward

_BATCH = 32


def held_out_means(
    policy: VlaPolicy,
    samples: Sequence[Sample],
    most: int,
    reference: Reference,
    forward: Callable[[Batch], Forward],
) -> dict[SampleClass, ClassMeans]:
    """Means over at most `most` samples of each class, spread evenly; plain views, no gradient."""
    chosen: list[int] = []
    for name in SampleClass:
        members = [i for i, sample in enumerate(samples) if sample.sample_class is name]
        count = min(len(members), most)
        chosen += [members[i * len(members) // count] for i in range(count)]
    batcher = Batcher(policy, samples, FeatureSettings(seed=0, cache_mb=0))
    rows: dict[SampleClass, list[tuple[float, float, float]]] = {}
    for first in range(0, len(chosen), _BATCH):
        batch = batcher.batch([Draw(i, 0) for i in chosen[first : first + _BATCH]])
        with torch.no_grad():
            with reference.active():
                ref = forward(batch)
            now = forward(batch)
        columns = ((now.logps - ref.logps).tolist(), now.l1.tolist(), ref.l1.tolist())
        for name, *row in zip(batch.classes, *columns, strict=True):
            rows.setdefault(name, []).append(tuple(row))
    return {
        name: ClassMeans(len(values), *(sum(column) / len(values) for column in zip(*values, strict=True)))
        for name, values in rows.items()
    }
