"""How a new chunk goes together with those before it. Pure; time is that of the observations.

`replace` drops what was predicted before. `ensemble` averages every prediction of a moment (temporal ensembling of ACT,
arXiv 2304.13705, section IV-B). `realtime` lets a new chunk begin with the actions that will be executed while it is
computed, so that it follows from them (real-time chunking, arXiv 2506.07339; a policy that decodes token by token is
given these rows as tokens instead of an inpainting mask). None of them ever joins the chunks of two adapters.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np

from apo_core.types import ActionChunk

CHUNKINGS = ("replace", "ensemble", "realtime")


class Chunking(Protocol):
    """How a PolicyRunner combines chunks."""

    def committed(self, stamp_ns: int, inference_s: float, adapter_version: int) -> np.ndarray | None:
        """Rows (n, A) with which a chunk for the observation at `stamp_ns` is to begin, None for none."""

    def join(self, chunk: ActionChunk) -> ActionChunk:
        """The chunk to be executed now that `chunk` was predicted."""

    def reset(self) -> None:
        """Drops every chunk: they belong to another trial or to another source of commands."""


class Replace:
    """A new chunk counts from its first row on."""

    def committed(self, stamp_ns: int, inference_s: float, adapter_version: int) -> None:
        """Nothing."""

    def join(self, chunk: ActionChunk) -> ActionChunk:
        """The chunk itself."""
        return chunk

    def reset(self) -> None:
        """Nothing to drop."""


class Ensemble:
    """Averages predictions of one moment with weights exp(-decay * i), i = 0 for the oldest.

    Args:
        decay: the larger, the more the oldest prediction counts.
        max_age_ns: an action never comes from an observation older than this at the moment of its row.
    """

    def __init__(self, decay: float, max_age_ns: int):
        self._decay, self._max_age_ns = decay, max_age_ns
        self._chunks: list[ActionChunk] = []

    def committed(self, stamp_ns: int, inference_s: float, adapter_version: int) -> None:
        """Nothing."""

    def join(self, chunk: ActionChunk) -> ActionChunk:
        """The chunk with each row averaged over all that was predicted for its moment by the same adapter.

        No token stands for an average, so the chunk has none.
        """
        newest_ns, version = chunk.observation_stamp_ns, chunk.adapter_version
        self._chunks = [
            each
            for each in self._chunks
            if each.adapter_version == version and 0 <= newest_ns - each.observation_stamp_ns <= self._max_age_ns
        ]
        self._chunks.append(chunk)
        values = np.stack([self._row(newest_ns + i * chunk.period_ns) for i in range(len(chunk.values))])
        return dataclasses.replace(chunk, values=values, tokens=None)

    def reset(self) -> None:
        """Drops every chunk."""
        self._chunks = []

    def _row(self, moment_ns: int) -> np.ndarray:
        rows = []
        for chunk in self._chunks:
            age_ns = moment_ns - chunk.observation_stamp_ns
            index = round(age_ns / chunk.period_ns)
            # the newest chunk counts whatever its horizon: its consumer checks the age
            if index < len(chunk.values) and (age_ns <= self._max_age_ns or chunk is self._chunks[-1]):
                rows.append(chunk.values[index])
        weights = np.exp(-self._decay * np.arange(len(rows)))
        return np.average(rows, axis=0, weights=weights).astype(np.float32)


class RealTime:
    """Commits the rows that are executed before the new chunk arrives.

    Args:
        max_rows: committed at most; below the rows of a chunk.
        max_age_ns: an action never comes from an observation older than this at the moment of its row.
    """

    def __init__(self, max_rows: int, max_age_ns: int):
        self._max_rows, self._max_age_ns = max_rows, max_age_ns
        self._chunk: ActionChunk | None = None  # in force
        self._origins: list[int] = []  # stamp of the observation behind each of its rows
        self._given: list[int] = []  # the same of the rows committed last

    def committed(self, stamp_ns: int, inference_s: float, adapter_version: int) -> np.ndarray | None:
        """Rows of the chunk in force from the observation on, as many as begin within `inference_s`."""
        chunk = self._chunk
        self._given = []
        if chunk is None or chunk.adapter_version != adapter_version or stamp_ns <= chunk.observation_stamp_ns:
            return None
        first = round((stamp_ns - chunk.observation_stamp_ns) / chunk.period_ns)
        count = min(self._max_rows, math.ceil(inference_s * 1e9 / chunk.period_ns), len(chunk.values) - first)
        for index in range(first, first + count):
            moment_ns = stamp_ns + (index - first) * chunk.period_ns
            if moment_ns - self._origins[index] > self._max_age_ns:
                break
            self._given.append(self._origins[index])
        return chunk.values[first : first + len(self._given)] if self._given else None

    def join(self, chunk: ActionChunk) -> ActionChunk:
        """The chunk itself; each row is remembered with the observation that it comes from."""
        self._origins = self._given + [chunk.observation_stamp_ns] * (len(chunk.values) - len(self._given))
        self._chunk, self._given = chunk, []
        return chunk

    def reset(self) -> None:
        """Drops the chunk in force."""
        self._chunk, self._origins, self._given = None, [], []


def make_chunking(name: str, decay: float, max_rows: int, max_age_ns: int) -> Chunking:
    """The chunking of this name, one of CHUNKINGS; see the classes for the rest."""
    if name == "ensemble":
        return Ensemble(decay, max_age_ns)
    return RealTime(max_rows, max_age_ns) if name == "realtime" else Replace()
