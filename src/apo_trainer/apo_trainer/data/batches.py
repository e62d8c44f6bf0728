"""Samples as tensors: features of the observations, tokens and masks of the actions."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from apo_trainer.data.features import FeatureSettings, FeatureStore, Inputs, stack
from apo_trainer.data.negatives import shadow_chunk, shadow_tokens, synthetic_chunk
from apo_trainer.data.sampler import ActionOf, Draw
from apo_trainer.data.samples import Sample, SampleClass
from apo_vla.policy import VlaPolicy

_SYNTHETIC = 1  # seeds this noise apart from that of the image views


@dataclass(frozen=True, slots=True)
class MismatchedRows:
    """Actions of other samples for the observations of rows of a batch; R of them."""

    rows: tuple[int, ...]  # (R,) ascending
    tokens: Tensor  # int64 (R, L)
    mask: Tensor  # bool (R, L)
    keys: tuple[bytes, ...]  # (R,) as in Batch


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows; L = chunk * A action tokens. A row whose action is not the recorded one counts as undesirable."""

    inputs: Inputs  # of the observations
    tokens: Tensor  # int64 (B, L) bins of the actions; of the policy's own those that it emitted, where recorded
    mask: Tensor  # bool (B, L)
    actions: Tensor  # float32 (B, L) the same actions in normalised space
    desirable: Tensor  # bool (B,)
    classes: tuple[SampleClass, ...]
    draws: tuple[Draw, ...]
    keys: tuple[bytes, ...]  # (B,) one for each pair of observation and action, in this run or another
    others: MismatchedRows
    prefix: Tensor | None = None  # int64 (B, L) tokens that the next one is predicted from; None: `tokens`

    @property
    def context(self) -> Tensor:
        """What stands before each predicted token, int64 (B, L)."""
        return self.tokens if self.prefix is None else self.prefix

    def __len__(self) -> int:
        return len(self.draws)

    def part(self, rows: range) -> Batch:
        """Some rows that follow each other, with their mismatched actions."""
        span, others = slice(rows.start, rows.stop), self.others
        chosen = [i for i, row in enumerate(others.rows) if row in rows]
        sliced = {
            f.name: getattr(self, f.name)[span] for f in fields(self) if f.name not in ("inputs", "others", "prefix")
        }
        return Batch(
            inputs=self.inputs.rows(span),
            prefix=None if self.prefix is None else self.prefix[span],
            **sliced,
            others=MismatchedRows(
                tuple(others.rows[i] - rows.start for i in chosen),
                others.tokens[chosen],
                others.mask[chosen],
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
        self._policy, self._samples = policy, samples
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
        codec, device = self._policy.codec, self._policy.device
        chunks, tokens, mask = self._encode(draws)
        _, other_tokens, other_mask = self._encode(others)
        classes = self.classes(draws)
        return Batch(
            inputs=stack(self.features.inputs(draws)),
            tokens=torch.from_numpy(tokens).to(device),
            mask=torch.from_numpy(mask).to(device),
            actions=torch.from_numpy(codec.normalise(chunks).reshape(tokens.shape)).float().to(device),
            desirable=torch.tensor([name is not SampleClass.UNDESIRABLE for name in classes], device=device),
            classes=classes,
            draws=tuple(draws),
            keys=self._keys(draws, tokens, mask),
            others=MismatchedRows(
                rows=tuple(other_rows),
                tokens=torch.from_numpy(other_tokens).to(device),
                mask=torch.from_numpy(other_mask).to(device),
                keys=self._keys([draws[row] for row in other_rows], other_tokens, other_mask),
            ),
        )

    def _encode(self, draws: Sequence[Draw]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions (n, chunk, A), their bins (n, L) and mask (n, L).

        Bins are those that the policy emitted where they are recorded and mean the action; else they are made from it.
        """
        codec, rows = self._policy.codec, self._policy.chunk
        chunks, masks = np.zeros((len(draws), rows, codec.size), np.float32), np.zeros((len(draws), rows), bool)
        for i, draw in enumerate(draws):
            chunks[i], masks[i] = self._chunk(draw)
        tokens = codec.encode(chunks)
        for i, draw in enumerate(draws):
            emitted = self._emitted(draw)
            if emitted is not None:
                agree = codec.agree(emitted, chunks[i])[:, None]
                tokens[i] = np.where(agree, emitted, tokens[i])
        return chunks, tokens.reshape(len(draws), rows * codec.size), np.repeat(masks, codec.size, axis=1)

    def _keys(self, seen: Sequence[Draw], tokens: np.ndarray, mask: np.ndarray) -> tuple[bytes, ...]:
        """Hashes of the observation of each draw and the action at the same place."""
        texts = (self.features.view_name(draw).encode() for draw in seen)
        rows = zip(texts, tokens, mask, strict=True)
        return tuple(
            hashlib.blake2b(text + action.tobytes() + used.tobytes(), digest_size=16).digest()
            for text, action, used in rows
        )

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
