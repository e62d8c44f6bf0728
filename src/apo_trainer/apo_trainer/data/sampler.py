"""Balanced batches: an exact share of each class in every batch, any batch from its number alone. No torch."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from apo_trainer.data.negatives import has_shadow
from apo_trainer.data.samples import Sample, SampleClass, TrainingDataError

if TYPE_CHECKING:
    from apo_trainer.config import TrainingConfig


MAX_REPEATS = 8  # of a robot's samples beside those of the robot with the most
SHADOW_POOL = "SHADOW"  # observations of HUMAN samples with the policy's own action, which counts as undesirable


class ActionOf(enum.StrEnum):
    """Whose action a row of a batch holds. Any but the recorded one is undesirable."""

    RECORDED = "RECORDED"  # the sample's own
    SHADOW = "SHADOW"  # what the policy would have done while the operator drove
    SYNTHETIC = "SYNTHETIC"  # the recorded one with noise


@dataclass(frozen=True, slots=True)
class Draw:
    """One row of a batch."""

    index: int  # into the samples
    view: int  # which augmentation, 0..views-1
    action: ActionOf = ActionOf.RECORDED


class BatchSampler(Protocol):
    """How batches are drawn."""

    counts: dict[str, int]  # rows of every batch by the name of their pool
    sizes: dict[str, int]  # samples of each pool, by the same names
    notes: list[str]  # shortages of the data, and their remedy

    def batch(self, step: int) -> Sequence[Draw]:
        """Batch number `step` (from 0); the same for the same data, configuration and number."""


def batch_counts(batch_size: int, shares: Mapping[str, float]) -> dict[str, int]:
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


class PoolSampler:
    """Draws batches with an exact number of items from each pool.

    A pool is drawn without repetition until it is used up, then in a new order and with the next view. An empty pool
    gives its share to the others in proportion; one with fewer items than its part of a batch repeats them within a
    batch; `notes` names both cases. `counts` has the items a batch of each pool that is drawn
    from, `sizes` the items there are.

    Args:
        pools: items by the pool's name; the order of the pools is that of a batch.
        shares: wanted part of a batch by pool; a pool without a share above 0 is not drawn from.
        batch_size: items a batch.
        seed: fixes every batch.
        views: augmentations of an item.
        actions: by pool, whose action its rows hold; the recorded one where a pool is not named.

    Raises:
        TrainingDataError: every pool with a share is empty.
    """

    def __init__(
        self,
        pools: Mapping[str, Sequence[int]],
        shares: Mapping[str, float],
        batch_size: int,
        seed: int,
        views: int = 1,
        actions: Mapping[str, ActionOf] | None = None,
    ):
        self._actions = dict(actions or {})
        self._pools = {name: np.asarray(items, dtype=np.int64) for name, items in pools.items()}
        self._codes = {name: code for code, name in enumerate(self._pools)}
        sizes = {name: len(items) for name, items in self._pools.items()}
        wanted = {name: share for name, share in shares.items() if share > 0}
        present = {name: share for name, share in wanted.items() if sizes[name] > 0}
        if not present:
            raise TrainingDataError(f"no sample to train on: {count_text(sizes)}; record episodes with takeovers first")
        self.counts = batch_counts(batch_size, present)
        self.sizes = {name: sizes[name] for name in self.counts}
        self._seed, self._views = seed, views
        self._orders: dict[tuple[str, int], np.ndarray] = {}
        self.notes = [f"no {name} sample: its share went to the others" for name in wanted if name not in present]
        self.notes += [
            f"{sizes[name]} {name} samples for {count} a batch: they repeat within a batch"
            for name, count in self.counts.items()
            if sizes[name] < count
        ]

    def batch(self, step: int) -> list[Draw]:
        """Batch number `step` (from 0), pools in their order."""
        draws = []
        for name, count in self.counts.items():
            items, action = self._pools[name], self._actions.get(name, ActionOf.RECORDED)
            for number in range(step * count, (step + 1) * count):
                epoch, position = divmod(number, len(items))
                draws.append(Draw(int(items[self._order(name, epoch)[position]]), epoch % self._views, action))
        return draws

    def _order(self, name: str, epoch: int) -> np.ndarray:
        key = (name, epoch)
        if key not in self._orders:
            # two epochs of a pool can meet in one batch, older ones are done
            self._orders = {k: v for k, v in self._orders.items() if k[0] != name or k[1] >= epoch - 1}
            rng = np.random.default_rng([self._seed, self._codes[name], epoch])
            self._orders[key] = rng.permutation(len(self._pools[name]))
        return self._orders[key]


def members_by_class(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Indices of the samples of each class, every class in SampleClass' order."""
    members: dict[str, list[int]] = {name: [] for name in SampleClass}
    for index, sample in enumerate(samples):
        members[sample.sample_class].append(index)
    return members


def balanced_sampler(
    samples: Sequence[Sample], config: TrainingConfig, pools: Mapping[str, Sequence[int]] | None = None
) -> PoolSampler:
    """Batches with the configured shares of expert, human and undesirable samples, for methods that contrast them.

    Args:
        samples: what to draw from.
        config: shares, batch size, seed and views.
        pools: indices by SampleClass; None takes those of the samples.

    Raises:
        TrainingDataError: no sample at all, or neither a human nor an undesirable one.
    """
    pools = dict(pools or members_by_class(samples))
    if not pools[SampleClass.HUMAN] and not pools[SampleClass.UNDESIRABLE] and any(pools.values()):
        sizes = {name: len(items) for name, items in pools.items()}
        raise TrainingDataError(
            f"nothing to learn a preference from: {count_text(sizes)}; no operator took over in the episodes to train "
            "on, which are those that held_out_share leaves (config/trainer.yaml)"
        )
    shares = {
        SampleClass.EXPERT: config.share_expert * (1.0 - config.policy_share),
        SampleClass.POLICY: config.share_expert * config.policy_share,
        SampleClass.HUMAN: config.share_human,
        SampleClass.UNDESIRABLE: config.share_undesirable * (1.0 - config.shadow_share),
        SHADOW_POOL: config.share_undesirable * config.shadow_share,
    }
    shadows = [index for index in pools[SampleClass.HUMAN] if has_shadow(samples[index])] if config.shadow_share else []
    pools = {**pools, SHADOW_POOL: shadows}
    actions = {SHADOW_POOL: ActionOf.SHADOW}
    robots = sorted({samples[index].episode.robot for index in pools[SampleClass.HUMAN]})
    balances = config.balance_robots and len(robots) > 1
    if balances:
        of_interactions = [name for name in pools if name != SampleClass.EXPERT]
        pools |= {name: balanced_over_robots(pools[name], samples) for name in of_interactions}
    sampler = PoolSampler(pools, shares, config.batch_size, config.seed, config.views, actions)
    if balances:
        sampler.notes.append(f"interactions are balanced over {len(robots)} robots: {', '.join(map(repr, robots))}")
    return sampler


def balanced_over_robots(items: Sequence[int], samples: Sequence[Sample]) -> list[int]:
    """Indices in which every robot has as many as the one with the most; those of the others repeat.

    One robot's items repeat at most MAX_REPEATS times, so that a few steps of a new robot do not fill the batches.
    """
    by_robot: dict[str, list[int]] = {}
    for index in items:
        by_robot.setdefault(samples[index].episode.robot, []).append(index)
    most = max(map(len, by_robot.values()), default=0)
    made: list[int] = []
    for name in sorted(by_robot):
        own = by_robot[name]
        made += [own[place % len(own)] for place in range(min(most, MAX_REPEATS * len(own)))]
    return made


def count_text(sizes: Mapping[str, int]) -> str:
    """`3 EXPERT, 0 HUMAN`."""
    return ", ".join(f"{size} {name}" for name, size in sizes.items())
