"""Chunks of a model whose head puts out numbers."""

from __future__ import annotations

import numpy as np

from apo_core.errors import DecodeError
from apo_vla.actions.codec import ActionCodec


class ContinuousActions:
    """The part of a `Processor` that reads normalised numbers; row r stands at r * A .. r * A + A - 1."""

    codec: ActionCodec  # of the A dimensions

    def actions(self, tokens: np.ndarray) -> np.ndarray:
        """Normalised float32 (chunk * A,) -> float32 (chunk, A), contract units.

        Raises:
            DecodeError: a number is not finite.
        """
        if not np.isfinite(tokens).all():
            raise DecodeError(f"the action head returned {tokens[~np.isfinite(tokens)][0]}")
        return self.codec.denormalise(tokens.reshape(-1, self.codec.size))

    def row_log_probs(self, log_probs: np.ndarray) -> np.ndarray:
        """(chunk * A,) -> float32 (chunk,), summed over a row."""
        return log_probs.reshape(-1, self.codec.size).sum(axis=-1)
