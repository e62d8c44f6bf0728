"""Samples as tensors: action tokens, masks, and vision features computed once a view."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apo_core.vla.policy import VlaPolicy
from apo_trainer.dataset import Sample, SampleClass
from apo_trainer.negatives import shadow_chunk, synthetic_chunk
from apo_trainer.sampler import ActionOf, Draw

_SYNTHETIC = 1  # tells this noise from that of the image views


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows; L = chunk * A action tokens. A row whose action is not the recorded one counts as undesirable."""

    features: Tensor  # float32 (B, N, d)
    prompt_ids: Tensor  # int64 (B, P)
    tokens: Tensor  # int64 (B, L) bins of the actions
    mask: Tensor  # bool (B, L)
    actions: Tensor  # float32 (B, L) the same actions in normalised space
    desirable: Tensor  # bool (B,)
    classes: tuple[SampleClass, ...]
    draws: tuple[Draw, ...]

    def members(self, *names: SampleClass) -> Tensor:
        """Bool (B,): which samples are of one of these classes."""
        return torch.tensor([c in names for c in self.classes], device=self.desirable.device)


class Batcher:
    """Makes batches for a policy. LoRA leaves the vision part alone, so its features are kept while memory allows.

    Args:
        policy: the model, its preprocessing and its action codec.
        samples: what draws refer to.
        seed: of the augmented views.
        views: views a sample; with 1 it is the centre crop of serving.
        cache_mb: memory for features.
        negative_noise: standard deviation of synthetic actions around the recorded ones, normalised action units.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        samples: Sequence[Sample],
        seed: int,
        views: int = 1,
        cache_mb: int = 512,
        negative_noise: float = 0.3,
    ):
        self._policy, self._samples, self._seed, self._views = policy, samples, seed, views
        self._negative_noise = negative_noise
        self._cache: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._free_bytes = cache_mb << 20

    def batch(self, draws: Sequence[Draw]) -> Batch:
        """Raises EpisodeFormatError when a file can no longer be read."""
        samples = [self._samples[draw.index] for draw in draws]
        codec, device = self._policy.codec, self._policy.device
        chunks, masks = zip(*(self._chunk(draw) for draw in draws), strict=True)
        chunks = np.stack(chunks)
        mask = np.repeat(np.stack(masks), codec.size, axis=1)
        shape = (len(samples), -1)
        inputs = self._inputs(draws)
        classes = tuple(
            sample.sample_class if draw.action is ActionOf.RECORDED else SampleClass.UNDESIRABLE
            for sample, draw in zip(samples, draws, strict=True)
        )
        return Batch(
            features=torch.stack([features for features, _ in inputs]),
            prompt_ids=torch.stack([prompt for _, prompt in inputs]),
            tokens=torch.from_numpy(codec.encode(chunks).reshape(shape)).to(device),
            mask=torch.from_numpy(mask).to(device),
            actions=torch.from_numpy(codec.normalise(chunks).reshape(shape)).float().to(device),
            desirable=torch.tensor([name is not SampleClass.UNDESIRABLE for name in classes], device=device),
            classes=classes,
            draws=tuple(draws),
        )

    def _chunk(self, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """Actions float32 (chunk, A) of a draw, and mask bool (chunk,)."""
        sample, rows = self._samples[draw.index], self._policy.chunk
        if draw.action is ActionOf.RECORDED:
            return sample.chunk(rows)
        if draw.action is ActionOf.SHADOW:
            return shadow_chunk(sample, rows)
        rng = np.random.default_rng([self._seed, zlib.crc32(sample.key.encode()), draw.view, _SYNTHETIC])
        return synthetic_chunk(sample, rows, self._policy.codec, self._negative_noise, rng)

    def _inputs(self, draws: Sequence[Draw]) -> list[tuple[Tensor, Tensor]]:
        """Features (N, d) and prompt (P,) of each draw."""
        found = {key: self._cache[key] for draw in draws if (key := (draw.index, draw.view)) in self._cache}
        wanted = list(dict.fromkeys((d.index, d.view) for d in draws if (d.index, d.view) not in found))
        if wanted:
            parts = [self._prepare(index, view) for index, view in wanted]
            batch = type(parts[0])(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
            for key, features, prompt in zip(wanted, self._policy.features(batch), batch.prompt_ids, strict=True):
                found[key] = features.clone(), prompt
                size = features.numel() * features.element_size()
                if size <= self._free_bytes:
                    self._cache[key] = found[key]
                    self._free_bytes -= size
        return [found[draw.index, draw.view] for draw in draws]

    def _prepare(self, index: int, view: int):
        sample = self._samples[index]
        observation = sample.observation()
        rng = None
        if self._views > 1:
            rng = np.random.default_rng([self._seed, zlib.crc32(sample.key.encode()), view])
        return self._policy.prepare([observation.images], [observation.state], observation.instruction, rng)
