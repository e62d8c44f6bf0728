"""Chunks of a model that predicts one bin for each dimension."""

from __future__ import annotations

import numpy as np

from apo_vla.actions.codec import ActionCodec


class BinActions:
    """The part of a `Processor` that reads bins; tokens of row r stand at r * A .. r * A + A - 1.

    Args:
        codec: of the A dimensions.
    """

    def __init__(self, codec: ActionCodec):
        self.codec = codec

    def actions(self, tokens: np.ndarray) -> np.ndarray:
        """Bins (chunk * A,) -> float32 (chunk, A), contract units."""
        return self.codec.decode(tokens.reshape(-1, self.codec.size))

    def row_log_probs(self, log_probs: np.ndarray) -> np.ndarray:
        """(chunk * A,) -> float32 (chunk,), summed over a row."""
        return log_probs.reshape(-1, self.codec.size).sum(axis=-1)
