"""Balanced batches: an exact share of each class in every batch, any batch from its number alone. No torch."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apo_trainer.dataset import Sample, SampleClass, TrainingData, TrainingDataError

if TYPE_CHECKING:
    from apo_trainer.config import TrainingConfig


class ActionOf(enum.StrEnum):
    """Whose action a row of a batch holds. Any but the recorded one is what the policy shall not do there."""

    RECORDED = "RECORDED"  # what the sample says
    SHADOW = "SHADOW"  # what the policy would have done while the operator drove
    SYNTHETIC = "SYNTHETIC"  # the recorded one with noise


@dataclass(frozen=True, slots=True)
class Draw:
    """One row of a batch."""

    index: int  # into the samples
    view: int  # which augmentation, 0..views-1
    action: ActionOf = ActionOf.RECORDED


def batch_counts(batch_size: int, shares: Mapping[SampleClass, float]) -> dict[SampleClass, int]:
    """Whole numbers of samples that add up to `batch_size`, in proportion to `shares` (largest remainder).

    Raises:
        ValueError: no share above 0.
    """
    total = sum(shares.values())
    if total <= 0:
        raise ValueError(f"shares = {dict(shares)} must have one above 0")
    exact = {name: batch_size * share / total for name, share in shares.items()}
    counts = {name: int(np.floor(value + 1e-9)) for name, value in exact.items()}
    left = batch_size - sum(counts.values())
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[:left]:
        counts[name] += 1
    return counts


class BalancedSampler:
    """Draws batches with an exact number of samples a class.

    A class is drawn without repetition until it is used up, then in a new order and with the next view. A class with no
    sample gives its share to the others in proportion; one with fewer samples than its part of a batch repeats them
    within a batch. `notes` says so.

    Args:
        samples: what to draw from.
        shares: wanted part of a batch by class, sum 1.
        batch_size: samples a batch.
        seed: fixes every batch.
        views: augmentations of a sample.
        needs_contrast: whether human or undesirable samples are required (preference methods).

    Raises:
        TrainingDataError: no sample at all, or no human and no undesirable one where they are needed.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        shares: Mapping[SampleClass, float],
        batch_size: int,
        seed: int,
        views: int = 1,
        needs_contrast: bool = True,
    ):
        self._members = {
            name: np.array([i for i, s in enumerate(samples) if s.sample_class is name], dtype=np.int64)
            for name in SampleClass
        }
        sizes = {name: len(members) for name, members in self._members.items()}
        wanted = {name: share for name, share in shares.items() if share > 0}
        present = {name: share for name, share in wanted.items() if sizes[name] > 0}
        if not present:
            raise TrainingDataError(f"no sample to train on: {_text(sizes)}; record episodes with takeovers first")
        if needs_contrast and not sizes[SampleClass.HUMAN] and not sizes[SampleClass.UNDESIRABLE]:
            raise TrainingDataError(
                f"nothing to learn a preference from: {_text(sizes)}; the operator never took over in these episodes"
            )
        self.counts = batch_counts(batch_size, present)
        self.batch_size = batch_size
        self._seed, self._views = seed, views
        self._orders: dict[tuple[SampleClass, int], np.ndarray] = {}
        self.notes = [f"no {name} sample: its share went to the others" for name in wanted if name not in present]
        self.notes += [
            f"{sizes[name]} {name} samples for {count} a batch: they repeat within a batch"
            for name, count in self.counts.items()
            if sizes[name] < count
        ]

    def batch(self, step: int) -> list[Draw]:
        """Batch number `step` (from 0), classes in a fixed order."""
        draws = []
        for name, count in self.counts.items():
            members = self._members[name]
            for number in range(step * count, (step + 1) * count):
                epoch, position = divmod(number, len(members))
                draws.append(Draw(int(members[self._order(name, epoch)[position]]), epoch % self._views))
        return draws

    def _order(self, name: SampleClass, epoch: int) -> np.ndarray:
        key = (name, epoch)
        if key not in self._orders:
            # two epochs of a class can meet in one batch, older ones are done
            self._orders = {k: v for k, v in self._orders.items() if k[0] is not name or k[1] >= epoch - 1}
            code = list(SampleClass).index(name)
            rng = np.random.default_rng([self._seed, code, epoch])
            self._orders[key] = rng.permutation(len(self._members[name]))
        return self._orders[key]


def balanced_sampler(data: TrainingData, config: TrainingConfig, preference: bool = True) -> BalancedSampler:
    """Batches with the configured shares; without `preference` the undesirable share goes to the others."""
    shares = {
        SampleClass.EXPERT: config.share_expert * (1.0 - config.policy_share),
        SampleClass.POLICY: config.share_expert * config.policy_share,
        SampleClass.HUMAN: config.share_human,
        SampleClass.UNDESIRABLE: config.share_undesirable if preference else 0.0,
    }
    return BalancedSampler(data.train, shares, config.batch_size, config.seed, config.views, preference)


def _text(sizes: Mapping[SampleClass, int]) -> str:
    return ", ".join(f"{size} {name}" for name, size in sizes.items())
