"""Continuous actions <-> discrete bins, as OpenVLA does (arXiv 2406.09246, section 3.2). numpy only.

OpenVLA has one token more than values: its last two bins decode to one centre. Bins of a dimension that decode to one
value are one action; `classes` names them, `encode` returns the last of a class, and whatever scores an action adds the
probabilities of its class (`apo_vla.actions.classes`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apo_core.contract.action_range import DataRange
from apo_core.errors import ConfigError

_SMALLEST_RANGE = 1e-6  # contract units; a narrower dimension counts as constant


class ActionCodec:
    """Maps actions (..., A) to bins 0..255 a dimension and back.

    Edges are linspace(-1, 1, 256), values decode to one of the 255 centres between them.
    OpenVLA's token of bin b is 31999 - b.

    decode(encode(decode(b))) = decode(b) for every bin b, and encode(decode(b)) is of b's class.

    Args:
        q01: (A,) 1 % quantile of the training actions, contract units; becomes -1.
        q99: (A,) 99 % quantile; becomes 1.
        mask: (A,) False where the value passes through un-normalised (gripper).
        bins: number of tokens a dimension.
        scale, offset: (A,) contract unit = scale * data unit + offset, where q01 and q99 are in data units; None where
            both units are the same.
        limit: largest normalised value of an action; a constant dimension has 1.

    Raises:
        ConfigError: shapes that differ, values that are not finite, q01 above q99, fewer than 3 bins, a scale of 0.
    """

    def __init__(
        self,
        q01: Sequence[float],
        q99: Sequence[float],
        mask: Sequence[bool],
        bins: int = 256,
        scale: Sequence[float] | None = None,
        offset: Sequence[float] | None = None,
        limit: float = 1.0,
    ):
        self.q01 = np.asarray(q01, dtype=np.float64)
        self.q99 = np.asarray(q99, dtype=np.float64)
        self.mask = np.asarray(mask, dtype=bool)
        self.bins = int(bins)
        self.scale = np.ones_like(self.q01) if scale is None else np.asarray(scale, dtype=np.float64)
        self.offset = np.zeros_like(self.q01) if offset is None else np.asarray(offset, dtype=np.float64)
        faults = []
        if not self.q01.shape == self.scale.shape == self.offset.shape:
            faults.append(f"scale {self.scale.shape} and offset {self.offset.shape} must be of q01's {self.q01.shape}")
        elif not (np.isfinite(self.scale).all() and np.isfinite(self.offset).all() and self.scale.all()):
            faults.append(f"scale = {self.scale.tolist()} must be finite and not 0, offset finite")
        if self.q01.ndim != 1 or not self.q01.shape == self.q99.shape == self.mask.shape:
            faults.append(f"q01 {self.q01.shape}, q99 {self.q99.shape}, mask {self.mask.shape} must be of one length")
        elif not (np.isfinite(self.q01).all() and np.isfinite(self.q99).all()):
            faults.append(f"q01 = {self.q01.tolist()} and q99 = {self.q99.tolist()} must be finite")
        elif (self.q01 > self.q99).any():
            faults.append(f"q01 = {self.q01.tolist()} must not be above q99 = {self.q99.tolist()}")
        if self.bins < 3:
            faults.append(f"bins = {self.bins} must be at least 3")
        if faults:
            raise ConfigError("action statistics (dataset_statistics.json)", faults)
        self._edges = np.linspace(-1.0, 1.0, self.bins)
        self._centres = (self._edges[:-1] + self._edges[1:]) / 2.0
        self._range = np.maximum(self.q99 - self.q01, _SMALLEST_RANGE)
        self.limits = np.where(self.mask & (self._range > _SMALLEST_RANGE), limit, 1.0)
        every_bin = np.repeat(np.arange(self.bins)[:, None], self.size, axis=1)
        # (A, bins) float32, monotonic in the bin
        self._decoded = self.denormalise(self._centres_of(every_bin)).T.copy()
        self._rounding = np.finfo(np.float32).eps * np.abs(self._decoded).max(axis=1)
        self.classes = _last_of_equals(self._decoded)
        self.classes.setflags(write=False)

    limits: np.ndarray  # (A,), of normalised values
    classes: np.ndarray  # int64 (A, bins): the bin that stands for all bins with the same value, their last
    one_token_a_value = True  # False for a policy whose tokens belong to no single value

    @property
    def size(self) -> int:
        """A, dimensions of an action."""
        return len(self.q01)

    @property
    def data_range(self) -> DataRange:
        """q01 and q99 in contract units, in the order of their values."""
        ends = np.stack([self.q01, self.q99]) * self.scale + self.offset
        return DataRange(ends.min(axis=0), ends.max(axis=0))

    def normalise(self, actions: np.ndarray) -> np.ndarray:
        """Actions (..., A) in contract units -> float64 (..., A), clipped to +-`limits`."""
        values = (self._checked(actions) - self.offset) / self.scale
        scaled = 2.0 * (values - self.q01) / self._range - 1.0
        return np.clip(np.where(self.mask, scaled, values), -self.limits, self.limits)

    def denormalise(self, values: np.ndarray) -> np.ndarray:
        """Normalised (..., A) -> float32 (..., A) in contract units: 0.5 (a + 1) (q99 - q01) + q01 where masked."""
        values = self._checked(values)
        scaled = 0.5 * (values + 1.0) * (self.q99 - self.q01) + self.q01
        return (self.scale * np.where(self.mask, scaled, values) + self.offset).astype(np.float32)

    def encode(self, actions: np.ndarray) -> np.ndarray:
        """Actions (..., A) in contract units -> int64 bins (..., A), 0..bins-1, each the last of its class.

        A value that `decode` returned is encoded as its own class, however narrow the range is for float32.
        """
        bins = (np.digitize(self.normalise(actions), self._edges) - 1).astype(np.int64)
        values = np.asarray(actions, dtype=np.float32)
        for dimension, table in enumerate(self._decoded):
            near = bins[..., dimension]
            exact = _index_of(table, values[..., dimension])
            near = np.where(exact >= 0, exact, near)
            bins[..., dimension] = self.classes[dimension][near]
        return bins

    def centres(self, bins: np.ndarray) -> np.ndarray:
        """Bins (..., A) -> float64 normalised values (..., A) in (-1, 1)."""
        return self._centres_of(bins)

    def decode(self, bins: np.ndarray) -> np.ndarray:
        """Bins (..., A) -> float32 actions (..., A) in contract units.

        Raises:
            ValueError: a bin outside 0..bins-1, or A differs.
        """
        bins = np.asarray(bins)
        if bins.size and (bins.min() < 0 or bins.max() >= self.bins):
            raise ValueError(f"action bins {bins.min()}..{bins.max()} must lie in 0..{self.bins - 1}")
        return self.denormalise(self.centres(bins))

    def agree(self, bins: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Whether bins (..., A) decode to actions (..., A), to the rounding of float32: bool (...).

        False where a bin is none of this codec, or an action is not finite.
        """
        bins, actions = np.asarray(bins), np.asarray(actions, dtype=np.float32)
        known = (bins >= 0) & (bins < self.bins)
        values = self._decoded[np.arange(self.size), np.where(known, bins, 0)]
        return (known & (np.abs(values - actions) <= self._rounding)).all(axis=-1)

    def _centres_of(self, bins: np.ndarray) -> np.ndarray:
        return self._centres[np.clip(bins, 0, self.bins - 2)]

    def _checked(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        if values.ndim < 1 or values.shape[-1] != self.size:
            raise ValueError(f"actions have shape {values.shape}, the last axis must be {self.size}")
        if not np.isfinite(values).all():
            raise ValueError("actions must be finite")
        return values


def _last_of_equals(tables: np.ndarray) -> np.ndarray:
    """For each row of monotonic values (A, n): int64 (A, n), the last index with the same value."""
    last = np.empty(tables.shape, dtype=np.int64)
    last[:, -1] = tables.shape[1] - 1
    for index in range(tables.shape[1] - 2, -1, -1):
        last[:, index] = np.where(tables[:, index] == tables[:, index + 1], last[:, index + 1], index)
    return last


def _index_of(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Place of each value in a monotonic table, -1 where it is not one of its values."""
    rising = table[0] <= table[-1]
    place = np.searchsorted(table if rising else table[::-1], values).clip(max=len(table) - 1)
    place = place if rising else len(table) - 1 - place
    return np.where(table[place] == values, place, -1)
