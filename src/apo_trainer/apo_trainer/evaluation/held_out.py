"""How an adapter does on samples that were never trained on, beside its reference and the adapter that serves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from apo_trainer.data.batches import Batch, Batcher
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import Draw
from apo_trainer.data.samples import Sample, SampleClass
from apo_trainer.evaluation.gate import GOALS, ClassMeans
from apo_trainer.evaluation.reference import Reference
from apo_vla.likelihood.types import Scores
from apo_vla.policy import VlaPolicy

_BATCH = 32


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Means over held-out samples."""

    means: dict[SampleClass, ClassMeans]  # of every class that has samples
    own_success: ClassMeans | None  # of policy steps of successful episodes without takeover; None without any


def held_out(
    policy: VlaPolicy,
    samples: Sequence[Sample],
    most: int,
    reference: Reference,
    serving: Reference | None,
    forward: Callable[[Batch], Scores],
) -> HeldOut:
    """Means over at most `most` samples of each class and of own successes; plain views, no gradient.

    Args:
        policy: with the adapter that is evaluated.
        samples: to choose from, spread evenly.
        most: samples of each class.
        reference: of the training.
        serving: the adapter that serves, where that is another policy.
        forward: the pass of a batch.
    """
    groups = {
        name: _spread([i for i, sample in enumerate(samples) if sample.sample_class is name], most)
        for name in SampleClass
    }
    own = [
        i
        for i, sample in enumerate(samples)
        if sample.sample_class is SampleClass.POLICY and sample.episode.is_own_success
    ]
    own = _spread(own, most)
    chosen = sorted({i for members in (*groups.values(), own) for i in members})
    rows = dict(zip(chosen, _rows(policy, samples, chosen, reference, serving, forward), strict=True))
    means = {name: _means([rows[i] for i in members]) for name, members in groups.items() if members}
    return HeldOut(means, _means([rows[i] for i in own]) if own else None)


class DesirableError:
    """L1 error on held-out demonstrated and corrected steps, normalised action units; plain views, no gradient.

    Args:
        policy: its weights of the moment are evaluated.
        samples: to choose from, spread evenly.
        most: samples of each class.
        forward: the pass of a batch.
    """

    def __init__(self, policy: VlaPolicy, samples: Sequence[Sample], most: int, forward: Callable[[Batch], Scores]):
        self._policy, self._samples, self._forward = policy, samples, forward
        groups = ([i for i, sample in enumerate(samples) if sample.sample_class is name] for name in GOALS)
        self._chosen = [i for group in groups for i in _spread(group, most)]
        self._batches: list[Batch] = []

    @torch.no_grad()
    def measure(self) -> float | None:
        """Mean over the samples; None where there are none."""
        if not self._chosen:
            return None
        if not self._batches:
            self._batches = list(_batches(self._policy, self._samples, self._chosen))
        errors = torch.cat([self._forward(batch).l1 for batch in self._batches])
        return errors.mean().item()


def _batches(policy: VlaPolicy, samples: Sequence[Sample], chosen: Sequence[int]) -> Iterator[Batch]:
    batcher = Batcher(policy, samples, FeatureSettings(seed=0, cache_mb=0))
    try:
        for first in range(0, len(chosen), _BATCH):
            yield batcher.batch([Draw(i, 0) for i in chosen[first : first + _BATCH]])
    finally:
        batcher.features.close()


def _spread(members: Sequence[int], most: int) -> list[int]:
    """At most `most` of them, evenly."""
    count = min(len(members), most)
    return [members[i * len(members) // count] for i in range(count)]


def _rows(
    policy: VlaPolicy,
    samples: Sequence[Sample],
    chosen: Sequence[int],
    reference: Reference,
    serving: Reference | None,
    forward: Callable[[Batch], Scores],
) -> list[tuple[float, ...]]:
    """Of each chosen sample the values of ClassMeans, in their order."""
    rows: list[tuple[float, ...]] = []
    for batch in _batches(policy, samples, chosen):
        with torch.no_grad():
            now = forward(batch)
            with reference.active():
                ref = forward(batch)
            with serving.active() if serving else contextlib.nullcontext():
                other = forward(batch) if serving else None
        columns = [now.logps - ref.logps, now.l1, ref.l1, now.edges, ref.edges]
        if other is not None:
            columns += [other.l1, now.logps - other.logps]
        rows += zip(*(column.tolist() for column in columns), strict=True)
    return rows


def _means(rows: Sequence[tuple[float, ...]]) -> ClassMeans:
    return ClassMeans(len(rows), *(sum(column) / len(rows) for column in zip(*rows, strict=True)))
