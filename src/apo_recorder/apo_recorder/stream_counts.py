"""Statistics of each camera and state stream while an episode is recorded. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np

_GAP = 1.5  # periods between two stamps from which on it is a gap
_SET_BACK_NS = 1_000_000_000  # the clock was set back, rather than a message late


class _Stream:
    def __init__(self, rate_hz: float):
        self.rate_hz = rate_hz
        self.last_ns = -1
        self.received = self.duplicates = self.out_of_order = self.rejected = 0
        self.intervals_ns = array("q")

    def add(self, stamp_ns: int) -> None:
        self.received += 1
        before, is_first = self.last_ns, self.last_ns < 0
        if stamp_ns == before:
            self.duplicates += 1
            return
        if not is_first and stamp_ns < before:
            self.out_of_order += 1
            if before - stamp_ns <= _SET_BACK_NS:
                return
        elif not is_first:
            self.intervals_ns.append(stamp_ns - before)
        self.last_ns = stamp_ns

    def counts(self) -> dict[str, float]:
        intervals = np.array(self.intervals_ns, np.float64)
        period_ns = 1e9 / self.rate_hz if self.rate_hz else float(np.median(intervals)) if len(intervals) else 0.0
        gaps = intervals[intervals > _GAP * period_ns] if period_ns else intervals[:0]
        return {
            "received": self.received,
            "duplicates": self.duplicates,
            "out_of_order": self.out_of_order,
            "gaps": len(gaps),
            "dropped": int(np.sum(np.round(gaps / period_ns) - 1)) if len(gaps) else 0,
            "refused": self.rejected,
            "rate_hz": round(1e9 / period_ns, 3) if period_ns else 0.0,
        }


class StreamCounts:
    """Counts messages, duplicates, gaps and the messages missing in gaps.

    Args:
        rates_hz: of each stream; 0 uses the median of the measured intervals.
    """

    def __init__(self, rates_hz: Mapping[str, float]):
        self._rates_hz = dict(rates_hz)
        self.restart()

    def restart(self) -> None:
        """Resets all counts."""
        self._streams = {name: _Stream(rate_hz) for name, rate_hz in self._rates_hz.items()}

    def add(self, stream: str, stamp_ns: int) -> None:
        """Counts a message with this stamp."""
        self._streams[stream].add(stamp_ns)

    def add_rejected(self, stream: str) -> None:
        """Counts a message that does not fit the contract."""
        self._streams[stream].rejected += 1

    def counts(self) -> dict[str, dict[str, float]]:
        """{stream: counts}, as `streams` of docs/reference/episode_format.md."""
        return {name: stream.counts() for name, stream in self._streams.items()}
