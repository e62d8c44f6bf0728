"""A threshold that at most a stated share of good episodes exceeds, whatever the distribution of their scores. Pure.

Split conformal prediction (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005): the highest
scores of n good episodes that served no other choice, and of the next one, are exchangeable. So the next one exceeds
their k-th smallest, k = ceil((n + 1) (1 - alpha)), with a probability of at most alpha. Failure detectors of
imitation-learned policies calibrate this way on successful rollouts (FAIL-Detect, arXiv 2503.08558).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_ROUNDING = 1e-9


def least_episodes(alpha: float) -> int:
    """Good episodes that a threshold for a share `alpha` needs at least. Raises ValueError: alpha not in (0, 1)."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"false alarms = {alpha} must be above 0 and below 1")
    return math.ceil((1 - alpha) / alpha - _ROUNDING)


def conformal_threshold(highest: Sequence[float], alpha: float) -> float:
    """The k-th smallest of the highest scores (n,) of good episodes.

    Raises:
        ValueError: alpha is not in (0, 1), n is too small for it, or a score is not a number.
    """
    n, least = len(highest), least_episodes(alpha)
    if n < least:
        raise ValueError(
            f"{n} unaided successes to calibrate on, at least {least} are needed for false alarms = {alpha}: "
            "record more, or allow more false alarms"
        )
    if not np.isfinite(highest).all():
        raise ValueError("a score is not finite")
    rank = math.ceil((n + 1) * (1 - alpha) - _ROUNDING)
    return float(np.sort(np.asarray(highest, np.float64))[rank - 1])
