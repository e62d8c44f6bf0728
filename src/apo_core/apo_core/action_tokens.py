"""Tokens that a policy emitted, one for each value. They are a record only: malformed ones count as unknown."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence

import numpy as np

_LARGEST = np.iinfo(np.int32).max


def known_tokens(tokens: Sequence[int] | np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Tokens as int32 of `shape`, row-major; None unless there is one for each value, an integer of 0 or more."""
    if not isinstance(tokens, np.ndarray | array.array):
        return None
    values = np.asarray(tokens)
    if values.dtype.kind not in "iu" or not values.size or values.size != math.prod(shape):
        return None
    if values.min() < 0 or values.max() > _LARGEST:
        return None
    return values.astype(np.int32).reshape(shape)
