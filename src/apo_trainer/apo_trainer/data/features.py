"""Inputs of the model, once a view; its image features too, where the adapter does not reach them."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from apo_episodes.frame_reader import FrameReader
from apo_trainer.data.sampler import Draw
from apo_trainer.data.samples import Sample
from apo_vla.lora.adapter import reaches_features
from apo_vla.model import VlaModel
from apo_vla.policy import Prepared, VlaPolicy

# What never changes within a run is computed in batches of so many rows, filled up where there are fewer: kernels
# round differently for other shapes, and a value must not depend on what it was computed together with.
FIXED_ROWS = 8

Key = tuple[int, int]  # sample, view


class Inputs(NamedTuple):
    """One draw, or several, as the model takes it: features, or what they are computed from."""

    features: Tensor | None  # float32 ([B,] N, d); None where the adapter reaches them
    images: Tensor | None  # float32 ([B,] cameras, C, S, S), only where there are no features
    state: Tensor | None  # float32 ([B,] n), likewise
    prompt_ids: Tensor  # int64 ([B,] P)

    def rows(self, rows: Sequence[int] | slice) -> Inputs:
        """Some rows of several draws."""
        return Inputs(*(None if part is None else part[rows] for part in self))

    def embed(self, model: VlaModel) -> Tensor:
        """Features (B, N, d), with gradient where the adapter reaches them."""
        return model.features(self.images, self.state) if self.features is None else self.features

    @property
    def bytes(self) -> int:
        """Memory of the images or features."""
        return sum(part.numel() * part.element_size() for part in (self.features, self.images) if part is not None)


def stack(items: Sequence[Inputs]) -> Inputs:
    """Several draws as one batch."""
    return Inputs(*(None if parts[0] is None else torch.stack(parts) for parts in zip(*items, strict=True)))


T = TypeVar("T")


def fixed_batches(items: Sequence[T]) -> Iterator[tuple[list[T], int]]:
    """Batches of FIXED_ROWS, the last filled up with copies of its first; with the number of rows that count."""
    for first in range(0, len(items), FIXED_ROWS):
        part = list(items[first : first + FIXED_ROWS])
        yield part + part[:1] * (FIXED_ROWS - len(part)), len(part)


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """How samples are varied, read and kept."""

    seed: int  # of the augmented views
    views: int = 1  # a sample; with 1 it is the centre crop of serving
    cache_mb: int = 512  # memory for features; what does not fit is computed each time
    workers: int = 0  # threads that read and prepare images ahead of their use


class FeatureStore:
    """Features and prompts of draws.

    Args:
        policy: the model and its preprocessing.
        samples: what draws refer to.
        settings: views, memory and threads.
    """

    def __init__(self, policy: VlaPolicy, samples: Sequence[Sample], settings: FeatureSettings):
        self._policy, self._samples, self._seed, self._views = policy, samples, settings.seed, settings.views
        self._adapted = reaches_features(policy.model)
        self._cache: dict[Key, Inputs] = {}
        self._free_bytes = settings.cache_mb << 20
        workers = settings.workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="images") if workers else None
        self._pending: dict[Key, Future[Prepared]] = {}
        self._paths = list(dict.fromkeys(sample.episode.path for sample in samples))
        self._indices = {path: index for index, path in enumerate(self._paths)}
        self._reader: FrameReader | None = None
        self._reading = threading.Lock()

    def prefetch(self, draws: Sequence[Draw]) -> None:
        """Starts to read what these draws will need; does nothing without workers."""
        if self._pool is None:
            return
        for key in self._missing(draws):
            if key not in self._pending:
                self._pending[key] = self._pool.submit(self._prepare, key)

    def inputs(self, draws: Sequence[Draw]) -> list[Inputs]:
        """Inputs of the model for each draw.

        Raises:
            EpisodeFormatError: a file can no longer be read.
        """
        missing = self._missing(draws)
        new: dict[Key, Inputs] = {}
        for keys, count in fixed_batches(missing):
            prepared = {key: self._take(key) for key in keys[:count]}
            new |= self._compute(keys, count, prepared)
        found = [new.get(key) or self._cache[key] for key in map(_key, draws)]
        for key, value in new.items():
            self._keep(key, value)
        return found

    def view_name(self, draw: Draw) -> str:
        """A name of the draw's observation and view, different for any other, in this run or another."""
        view = f"{self._seed}:{draw.view}" if self._views > 1 else "centre"
        return f"{self._samples[draw.index].key}:{view}"

    def close(self) -> None:
        """Ends the threads and closes the files."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            self._pending.clear()
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _missing(self, draws: Sequence[Draw]) -> list[Key]:
        return list(dict.fromkeys(key for key in map(_key, draws) if key not in self._cache))

    def _take(self, key: Key) -> Prepared:
        future = self._pending.pop(key, None)
        return self._prepare(key) if future is None else future.result()

    def _compute(self, keys: Sequence[Key], count: int, prepared: dict[Key, Prepared]) -> dict[Key, Inputs]:
        """Inputs of the first `count` keys."""
        if self._adapted:
            return {key: Inputs(None, one.images[0], one.state[0], one.prompt_ids[0]) for key, one in prepared.items()}
        batch = Prepared(*(torch.cat(parts) for parts in zip(*(prepared[key] for key in keys), strict=True)))
        features = self._policy.features(batch)
        rows = zip(keys[:count], features, batch.prompt_ids, strict=False)
        # copies, as a row of a batch keeps the whole batch in memory
        return {key: Inputs(row.clone(), None, None, prompt.clone()) for key, row, prompt in rows}

    def _keep(self, key: Key, value: Inputs) -> None:
        size = value.bytes
        if size <= self._free_bytes:
            self._cache[key] = value
            self._free_bytes -= size

    def _prepare(self, key: Key) -> Prepared:
        index, view = key
        sample = self._samples[index]
        observation = sample.observation(self._images(sample))
        rng = None
        if self._views > 1:
            rng = np.random.default_rng([self._seed, zlib.crc32(sample.key.encode()), view])
        return self._policy.prepare([observation.images], [observation.state], observation.instruction, rng)

    def _images(self, sample: Sample) -> dict[str, np.ndarray]:
        with self._reading:
            if self._reader is None:
                self._reader = FrameReader(self._paths, workers=1)
            frames = self._reader.read([(self._indices[sample.episode.path], sample.step)])
        return {name: batch[0] for name, batch in frames.items()}


def _key(draw: Draw) -> Key:
    return draw.index, draw.view
