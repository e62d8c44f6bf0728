"""Mismatched actions a' behind the KL estimate z0: for each row an action of another sample, the same in every epoch.

The pairs stay, as in TRL's KTO, so that the reference scores each only once. They are drawn from what the sampler puts
into batches, so that a' has the distribution of the actions trained on.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from apo_trainer.data.sampler import BatchSampler, Draw
from apo_trainer.data.samples import Sample

_BATCHES = 64  # that candidates are taken from
_TRIES = 16


class MismatchedActions:
    """Chooses a' for rows.

    Args:
        sampler: of the training.
        samples: what draws refer to.
        steps: batches that will be drawn.
        seed: of the choice.
    """

    def __init__(self, sampler: BatchSampler, samples: Sequence[Sample], steps: int, seed: int):
        self._samples, self._seed = samples, seed
        self._candidates = [draw for step in range(min(steps, _BATCHES)) for draw in sampler.batch(step)]
        self._chosen: dict[Draw, Draw | None] = {}

    def pairs(self, draws: Sequence[Draw], count: int) -> tuple[list[int], list[Draw]]:
        """At most `count` rows (0: all), ascending and spread evenly, and a draw with the a' of each."""
        count = min(count, len(draws)) or len(draws)
        rows = [i * len(draws) // count for i in range(count)]
        found = [(row, other) for row in rows if (other := self._other(draws[row])) is not None]
        return [row for row, _ in found], [other for _, other in found]

    def _other(self, draw: Draw) -> Draw | None:
        """None where all of a few tries gave the sample itself: there are hardly any others."""
        if draw not in self._chosen:
            key = zlib.crc32(self._samples[draw.index].key.encode())
            places = np.random.default_rng([self._seed, key, draw.view]).integers(len(self._candidates), size=_TRIES)
            others = (self._candidates[place] for place in places)
            self._chosen[draw] = next((other for other in others if other.index != draw.index), None)
        return self._chosen[draw]
