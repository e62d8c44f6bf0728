"""Samples as tensors: features of the observations, tokens and masks of the actions."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apo_trainer.data.features import FeatureSettings, FeatureStore, Inputs, stack
from apo_trainer.data.negatives import shadow_chunk, shadow_tokens, synthetic_chunk
from apo_trainer.data.sampler import ActionOf, Draw
from apo_trainer.data.samples import Sample, SampleClass
from apo_vla.likelihood.types import Targets
from apo_vla.policy import VlaPolicy

_SYNTHETIC = 1  # seeds this noise apart from that of the image views


@dataclass(frozen=True, slots=True)
class MismatchedRows:
    """Actions of other samples for the observations of rows of a batch; R of them."""

    rows: tuple[int, ...]  # (R,) ascending
    targets: Targets  # of R rows
    keys: tuple[bytes, ...]  # (R,) as in Batch


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows. A row whose action is not the recorded one counts as undesirable."""

    inputs: Inputs  # of the observations
    targets: Targets  # the actions; of the policy's own those tokens that it emitted, where recorded
    desirable: Tensor  # bool (B,)
    classes: tuple[SampleClass, ...]
    draws: tuple[Draw, ...]
    keys: tuple[bytes, ...]  # (B,) one for each pair of observation and action, in this run or another
    others: MismatchedRows
    context: Tensor | None = None  # int64 (B, L) tokens that the next one is predicted from; None: the action's own

    def __len__(self) -> int:
        return len(self.draws)

    def part(self, rows: range) -> Batch:
        """Some rows that follow each other, with their mismatched actions."""
        span, others = slice(rows.start, rows.stop), self.others
        chosen = [i for i, row in enumerate(others.rows) if row in rows]
        sliced = {name: getattr(self, name)[span] for name in ("desirable", "classes", "draws", "keys")}
        return Batch(
            inputs=self.inputs.rows(span),
            targets=self.targets.rows(span),
            context=None if self.context is None else self.context[span],
            **sliced,
            others=MismatchedRows(
                tuple(others.rows[i] - rows.start for i in chosen),
                others.targets.rows(chosen),
                tuple(others.keys[i] for i in chosen),
            ),
        )


class Batcher:
    """Makes batches for a policy.

    Args:
        policy: the model, its preprocessing and its action codec.
        samples: what draws refer to.
        settings: of the features; the seed is that of synthetic actions, too.
        negative_noise: standard deviation of synthetic actions around the recorded ones, normalised action units.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        samples: Sequence[Sample],
        settings: FeatureSettings,
        negative_noise: float = 0.3,
    ):
        self.features = FeatureStore(policy, samples, settings)
        self._policy, self._likelihood, self._samples = policy, policy.likelihood(), samples
        self._seed, self._negative_noise = settings.seed, negative_noise

    def classes(self, draws: Sequence[Draw]) -> tuple[SampleClass, ...]:
        """Class of each row; needs no image."""
        return tuple(
            self._samples[draw.index].sample_class if draw.action is ActionOf.RECORDED else SampleClass.UNDESIRABLE
            for draw in draws
        )

    def batch(self, draws: Sequence[Draw], other_rows: Sequence[int] = (), others: Sequence[Draw] = ()) -> Batch:
        """Rows for `draws`, and the actions of `others` for the observations of rows `other_rows`, which ascend.

        Raises:
            EpisodeFormatError: a file can no longer be read.
        """
        device = self._policy.device
        targets, keys = self._targets(draws, draws)
        other_targets, other_keys = self._targets(others, [draws[row] for row in other_rows])
        classes = self.classes(draws)
        return Batch(
            inputs=stack(self.features.inputs(draws)),
            targets=targets,
            desirable=torch.tensor([name is not SampleClass.UNDESIRABLE for name in classes], device=device),
            classes=classes,
            draws=tuple(draws),
            keys=keys,
            others=MismatchedRows(tuple(other_rows), other_targets, other_keys),
        )

    def _targets(self, draws: Sequence[Draw], seen: Sequence[Draw]) -> tuple[Targets, tuple[bytes, ...]]:
        """Actions of `draws` for the observations of `seen`, and a hash of each pair."""
        codec, rows, device = self._policy.codec, self._policy.chunk, self._policy.device
        chunks, masks = np.zeros((len(draws), rows, codec.size), np.float32), np.zeros((len(draws), rows), bool)
        for i, draw in enumerate(draws):
            chunks[i], masks[i] = self._chunk(draw)
        encoded = self._likelihood.encode(chunks, masks, [self._emitted(draw) for draw in draws])
        texts = [self.features.view_name(draw).encode() for draw in seen]
        keys = tuple(
            hashlib.blake2b(text + action[used].tobytes(), digest_size=16).digest()
            for text, action, used in zip(texts, encoded.outputs, encoded.mask, strict=True)
        )
        seeds = np.array([zlib.crc32(text) for text in texts], np.int64)
        arrays = (
            encoded.outputs,
            encoded.mask,
            codec.normalise(chunks).astype(np.float32).reshape(len(draws), rows * codec.size),
            np.repeat(masks, codec.size, axis=1),
            seeds,
        )
        return Targets(*(torch.from_numpy(array).to(device) for array in arrays)), keys

    def _emitted(self, draw: Draw) -> np.ndarray | None:
        """Tokens int32 (chunk, A) that the policy emitted for a draw's actions; None where they are not its own."""
        sample, rows = self._samples[draw.index], self._policy.chunk
        if draw.action is ActionOf.RECORDED:
            return sample.emitted_tokens(rows)
        return shadow_tokens(sample, rows) if draw.action is ActionOf.SHADOW else None

    def _chunk(self, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """Actions float32 (chunk, A) of a draw, and mask bool (chunk,)."""
        sample, rows = self._samples[draw.index], self._policy.chunk
        if draw.action is ActionOf.RECORDED:
            return sample.chunk(rows)
        if draw.action is ActionOf.SHADOW:
            return shadow_chunk(sample, rows)
        rng = np.random.default_rng([self._seed, zlib.crc32(sample.key.encode()), draw.view, _SYNTHETIC])
        return synthetic_chunk(sample, rows, self._policy.codec, self._negative_noise, rng)
