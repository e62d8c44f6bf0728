"""How sure it is that one policy succeeds more often than another, whenever one looks. Pure.

Evidence is an e-process: a product of bets whose expectation stays at most 1 where the policy is not better. So
P(it ever reaches 1 / alpha) <= alpha (Ville 1939), and one may stop at any time, for any reason (Ramdas, Gruenwald,
Vovk, Shafer: arXiv 2210.01948). Each process here is the mean of the likelihood ratios of fixed alternatives, which is
one again, and depends on counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05  # share of wrong decisions, unless another is named
_PAIRED_CELLS = 50
_UNPAIRED_CELLS = 12


class Finding(StrEnum):
    """Of a policy beside another."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Natural logarithms of two e-values."""

    better: float  # against "it does not succeed more often"
    worse: float  # against "it does not succeed less often"

    def finding(self, alpha: float = ALPHA) -> Finding:
        """What is decided, wrongly with a probability of at most `alpha` in each direction, at any time of looking."""
        threshold = -np.log(alpha)
        if max(self.better, self.worse) < threshold:
            return Finding.UNDECIDED
        return Finding.BETTER if self.better >= self.worse else Finding.WORSE


def paired_evidence(gained: int, lost: int) -> Evidence:
    """Of two policies on the same trials; see `log_paired`.

    Args:
        gained: trials in which the policy succeeded and the other failed.
        lost: the reverse.
    """
    return Evidence(float(log_paired(gained, lost)), float(log_paired(lost, gained)))


def unpaired_evidence(
    successes: int, failures: int, other_successes: int, other_failures: int, share: float = 0.5
) -> Evidence:
    """Of two policies, one of which is drawn at random before each trial; see `log_unpaired`.

    Args:
        successes, failures: of the policy.
        other_successes, other_failures: of the other.
        share: probability with which the policy was drawn, the same in every trial.
    """
    own, other = (successes, failures), (other_successes, other_failures)
    better = log_unpaired(*own, *other, share)
    worse = log_unpaired(*other, *own, 1.0 - share)
    return Evidence(float(better), float(worse))


def log_paired(gained: ArrayLike, lost: ArrayLike) -> NDArray[np.float64]:
    """ln e against "a pair that differs is a gain with a probability of at most 1/2", as McNemar's test has it.

    The alternatives are probabilities p above 1/2, evenly spread: (2 p)^gained (2 (1 - p))^lost.

    Args:
        gained, lost: counts of any shape.
    """
    p = 0.5 + (np.arange(_PAIRED_CELLS) + 0.5) / (2 * _PAIRED_CELLS)
    won, failed = (np.asarray(count, np.float64)[..., None] for count in (gained, lost))
    return _log_mean(won * np.log(2 * p) + failed * np.log(2 * (1 - p)))


def log_unpaired(
    successes: ArrayLike,
    failures: ArrayLike,
    other_successes: ArrayLike,
    other_failures: ArrayLike,
    share: float = 0.5,
) -> NDArray[np.float64]:
    """ln e against "the policy does not succeed more often", where each trial's policy is drawn at random.

    The alternatives are pairs of rates a > b, evenly spread. Beside their mean c = share a + (1 - share) b, a trial of
    the policy counts a / c for a success and (1 - a) / (1 - c) for a failure, one of the other policy the same with b
    (Turner, Ly, Gruenwald: arXiv 2106.02693). For equal rates the expectation is exactly 1, whatever they are; it falls
    as the policy's rate falls and as the other's rises.

    Args:
        successes, failures, other_successes, other_failures: counts of any common shape.
        share: probability with which the policy was drawn, in (0, 1).

    Raises:
        ValueError: another share.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share = {share} must be above 0 and below 1")
    rates = (np.arange(_UNPAIRED_CELLS) + 0.5) / _UNPAIRED_CELLS
    high, low = np.meshgrid(rates, rates, indexing="ij")
    a, b = high[high > low], low[high > low]
    c = share * a + (1 - share) * b
    counts = np.stack(np.broadcast_arrays(successes, failures, other_successes, other_failures), axis=-1)
    factors = np.log([a / c, (1 - a) / (1 - c), b / c, (1 - b) / (1 - c)])
    return _log_mean(counts.astype(np.float64) @ factors)


def _log_mean(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln of the mean of exp over the last axis; overwrites its argument."""
    largest = logs.max(axis=-1, keepdims=True)
    logs -= largest
    mean: NDArray[np.float64] = largest[..., 0] + np.log(np.exp(logs, out=logs).mean(axis=-1))
    return mean
