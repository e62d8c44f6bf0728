"""TPO (GRAPE, arXiv 2411.19309) over windows: stretches of what a person or expert did against undesirable ones."""

from __future__ import annotations

from collections.abc import Sequence

from apo_trainer.config import TrainingConfig
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.sampler import Draw, PoolSampler
from apo_trainer.data.samples import Sample, SampleClass, TrainingDataError
from apo_trainer.losses import LossOutput, tpo_loss
from apo_trainer.methods.method import Method, Terms

_REJECTED = SampleClass.UNDESIRABLE


def windows(samples: Sequence[Sample], length: int) -> dict[str, list[int]]:
    """First indices of all stretches of `length` consecutive samples of one episode and class, by class."""
    starts: dict[str, list[int]] = {name: [] for name in SampleClass}
    run = 0
    for index, sample in enumerate(samples):
        before = samples[index - 1] if index else None
        goes_on = (
            before is not None
            and before.episode is sample.episode
            and before.sample_class is sample.sample_class
            and before.step + 1 == sample.step
        )
        run = run + 1 if goes_on else 1
        if run >= length:
            starts[sample.sample_class].append(index - length + 1)
    return starts


class WindowSampler:
    """Batches of pairs of windows: all preferred windows, then all rejected ones, `tpo_window` rows each.

    As many pairs as the batch size has room for, at least one. Preferred windows are expert and human ones in their
    shares, rejected windows are undesirable ones; which two make a pair is left to chance.
    """

    def __init__(self, data: TrainingData, config: TrainingConfig):
        self._length = config.tpo_window
        starts = windows(data.train, self._length)
        if not starts[_REJECTED]:
            raise TrainingDataError(
                f"no {self._length} undesirable steps in a row (tpo_window, config/trainer.yaml): nothing to prefer to"
            )
        pairs = max(1, config.batch_size // (2 * self._length))
        shares: dict[str, float] = {
            SampleClass.EXPERT: config.share_expert,
            SampleClass.HUMAN: 1.0 - config.share_expert,
        }
        self._preferred = PoolSampler(starts, shares, pairs, config.seed, config.views)
        self._rejected = PoolSampler(starts, {_REJECTED: 1.0}, pairs, config.seed, config.views)
        counts = {**self._preferred.counts, **self._rejected.counts}
        self.counts = {name: count * self._length for name, count in counts.items()}
        self.sizes = {
            name: len({start + offset for start in starts[name] for offset in range(self._length)}) for name in counts
        }
        self.notes = self._preferred.notes + self._rejected.notes

    def batch(self, step: int) -> list[Draw]:
        """See BatchSampler."""
        starts = self._preferred.batch(step) + self._rejected.batch(step)
        return [Draw(start.index + offset, start.view) for start in starts for offset in range(self._length)]


class Tpo(Method):
    """Pairs of windows."""

    uses_reference = True

    def _sampler(self, data: TrainingData) -> WindowSampler:
        return WindowSampler(data, self.config)

    def loss(self, terms: Terms) -> LossOutput:
        return tpo_loss(terms.policy_logps, terms.ref_logps, self.config.tpo_window, self.config.beta)
