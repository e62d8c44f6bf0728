"""What heads that put out numbers have in common."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.types import Encoded, Targets

EDGE = 0.999  # of a codec's limit; a number beyond it is at an edge of its range


def continuous_targets(codec: ActionCodec, chunks: np.ndarray, mask: np.ndarray) -> Encoded:
    """Chunks float32 (n, R, A), contract units, whose rows bool (n, R) count, as normalised numbers (n, R * A)."""
    values = codec.normalise(chunks).astype(np.float32).reshape(len(chunks), mask.shape[1] * codec.size)
    return Encoded(values, np.repeat(mask, codec.size, axis=1))


def mean_error(predicted: Tensor, targets: Targets) -> Tensor:
    """Mean absolute error over the numbers that count, (n,); of a prediction (n, R * A), normalised."""
    error = (predicted - targets.actions).abs() * targets.action_mask
    return error.sum(-1) / targets.action_mask.sum(-1).clamp(min=1)
