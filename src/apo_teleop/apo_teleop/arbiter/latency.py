"""Statistics of the takeover latency. Pure."""

from __future__ import annotations

import math
from collections import deque

import numpy as np


class LatencyStatistics:
    """Percentiles over the newest samples.

    Args:
        capacity: how many are kept.
    """

    def __init__(self, capacity: int = 1000):
        self._samples_ns: deque[int] = deque(maxlen=capacity)
        self._known: dict[float, float] = {}  # percentiles of the samples so far; needed in every tick

    def add(self, latency_ns: int) -> None:
        """Time [ns] from the device's stamp to the published command; clocks that disagree give at least 0."""
        self._samples_ns.append(max(0, latency_ns))
        self._known.clear()

    def percentile_ms(self, percent: float) -> float:
        """Milliseconds, NaN without samples."""
        if not self._samples_ns:
            return math.nan
        if percent not in self._known:
            self._known[percent] = float(np.percentile(self._samples_ns, percent)) * 1e-6
        return self._known[percent]
