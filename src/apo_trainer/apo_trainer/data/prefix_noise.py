"""Noise on the action tokens that a token is predicted from, as word dropout in language models (arXiv 1511.06349).

Teacher forcing shows the policy the recorded tokens before each one. They reveal so much of a recorded action that it
learns to continue them and to ignore the images; when it serves it then follows its own first tokens.
"""

from __future__ import annotations

import numpy as np


class PrefixNoise:
    """Noisy copies of action tokens; what is predicted stays as it was.

    Args:
        share: of the tokens that become random ones, 0..1.
        jitter: standard deviation of the shift of every token, bins.
        bins: K, tokens there are.
        seed: of the training.
    """

    def __init__(self, share: float, jitter: float, bins: int, seed: int):
        self._share, self._jitter, self._bins, self._seed = share, jitter, bins, seed

    def __bool__(self) -> bool:
        return bool(self._share or self._jitter)

    def apply(self, tokens: np.ndarray, step: int, first_row: int = 0) -> np.ndarray:
        """Tokens int64 (B, L) with the noise of optimizer step `step`; a row's noise follows from its number alone."""
        noisy = np.empty_like(tokens)
        for row, values in enumerate(tokens):
            rng = np.random.default_rng([self._seed, step, first_row + row])
            shifted = values + np.rint(rng.normal(0.0, self._jitter, len(values))).astype(np.int64)
            random = rng.integers(0, self._bins, len(values))
            noisy[row] = np.where(rng.random(len(values)) < self._share, random, shifted.clip(0, self._bins - 1))
        return noisy
