"""Why the streams of a contract make no or few observations, stream by stream. Pure; ROS time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import combinations

import numpy as np

WARN_AFTER_NS = 3_000_000_000
NO_MESSAGE = "no message for"  # begins such a fault
SELDOM = "comes too seldom"  # the same
_STAMP_OFF_NS = 1_000_000_000  # of a stamp from its arrival; above any latency of a driver
_OTHER_CLOCK_S = 1e6  # of simulated time from that of the day
_HISTORY = 4096  # messages; those of WARN_AFTER_NS at 1 kHz
_SELDOM = 0.4  # share of the contract's rate below which observations are too rare to record and act on
_SAME_STAMPS = 3  # in a row: the driver does not stamp its messages


class _Stream:
    def __init__(self) -> None:
        self.received_ns = -1  # of the last message; -1: none yet
        self._messages: deque[tuple[int, int]] = deque(maxlen=_HISTORY)  # arrival and stamp, of WARN_AFTER_NS

    def add(self, stamp_ns: int, now_ns: int) -> None:
        self.received_ns = now_ns
        self._messages.append((now_ns, stamp_ns))
        self.count(now_ns)

    def count(self, now_ns: int) -> int:
        """Messages in the last WARN_AFTER_NS; older ones are dropped."""
        while self._messages and self._messages[0][0] <= now_ns - WARN_AFTER_NS:
            self._messages.popleft()
        return len(self._messages)

    @property
    def stamps_ns(self) -> list[int]:
        return [stamp_ns for _, stamp_ns in self._messages]


class StreamWatch:
    """Notes every message, and names what keeps them from making observations.

    Ages are of ROS time: while simulated time stands still, nothing is late.

    Args:
        streams: names of the cameras and state keys.
        tolerance_s: between the stamps of one observation.
        rate_hz: of the observations that are needed; 0: any rate will do.
    """

    def __init__(self, streams: Sequence[str], tolerance_s: float, rate_hz: float = 0.0):
        self._names, self._tolerance_ns = tuple(streams), round(tolerance_s * 1e9)
        self._rate_hz, self._fewest = rate_hz, _SELDOM * rate_hz * WARN_AFTER_NS * 1e-9
        self._begin(-1)

    def _begin(self, now_ns: int) -> None:
        self._streams = {name: _Stream() for name in self._names}
        self._start_ns = self._formed_ns = self._now_ns = self._counted_from_ns = now_ns
        self._formed = _Stream()

    def _advance(self, now_ns: int) -> None:
        # the first call, or a clock that was set back: ages begin anew
        if self._start_ns < 0 or now_ns < self._now_ns - _STAMP_OFF_NS:
            self._begin(now_ns)
        if now_ns - self._now_ns >= WARN_AFTER_NS:  # everything was silent, or the clock was set forward
            self._counted_from_ns = now_ns
        self._now_ns = max(self._now_ns, now_ns)

    def add(self, stream: str, stamp_ns: int, now_ns: int) -> None:
        """A message of a stream, with its header stamp."""
        self._advance(now_ns)
        self._streams[stream].add(stamp_ns, now_ns)

    def formed(self, now_ns: int) -> None:
        """The streams made an observation."""
        self._advance(now_ns)
        if self._formed.received_ns < 0 or now_ns - self._formed_ns >= WARN_AFTER_NS:
            self._counted_from_ns = now_ns
        self._formed_ns = now_ns
        self._formed.add(now_ns, now_ns)

    def faults(self, now_ns: int) -> dict[str, str]:
        """{stream: what is wrong with it}; empty while enough observations are made, or not for long missed."""
        self._advance(now_ns)
        if now_ns - self._formed_ns < WARN_AFTER_NS:
            return self._seldom(now_ns)
        found = {name: self._fault(stream, now_ns) for name, stream in self._streams.items()}
        return {name: fault for name, fault in found.items() if fault} or self._apart()

    def _seldom(self, now_ns: int) -> dict[str, str]:
        """The streams that make observations rare while others come as often as they must."""
        if now_ns - self._counted_from_ns < WARN_AFTER_NS or self._formed.count(now_ns) >= self._fewest:
            return {}
        counts = {name: stream.count(now_ns) for name, stream in self._streams.items()}
        if max(counts.values()) < self._fewest:
            return {}
        return {
            name: f"{SELDOM}, at {count / WARN_AFTER_NS * 1e9:.1f} Hz: raise the rate of its driver, or lower "
            f"rate_hz = {self._rate_hz:g} (config/contract.yaml)"
            for name, count in counts.items()
            if count < self._fewest
        }

    def _fault(self, stream: _Stream, now_ns: int) -> str:
        if stream.received_ns < 0:
            return f"{NO_MESSAGE} {(now_ns - self._start_ns) / 1e9:.0f} s"
        if now_ns - stream.received_ns >= WARN_AFTER_NS:
            return f"{NO_MESSAGE} {(now_ns - stream.received_ns) / 1e9:.0f} s"
        return self._stamp_fault(stream)

    def stamp_faults(self) -> dict[str, str]:
        """{stream: what is wrong with the stamp of its newest message}, however long observations are missed."""
        found = {name: self._stamp_fault(stream) for name, stream in self._streams.items()}
        return {name: fault for name, fault in found.items() if fault}

    @staticmethod
    def _stamp_fault(stream: _Stream) -> str:
        stamps_ns = stream.stamps_ns
        if not stamps_ns:
            return ""
        stamp_ns = stamps_ns[-1]
        if stamp_ns <= 0:
            return "its stamps are 0: the driver must set header.stamp"
        off_s = (stamp_ns - stream.received_ns) / 1e9
        if abs(off_s) * 1e9 < _STAMP_OFF_NS:
            return ""
        if len(stamps_ns) >= _SAME_STAMPS and len(set(stamps_ns)) == 1:
            return "its stamp does not change: the driver must set header.stamp in every message"
        cure = "synchronise the clocks of both machines"
        if abs(off_s) >= _OTHER_CLOCK_S:
            cure = "give its node and this one the same use_sim_time"
        return f"its stamps are {abs(off_s):.1f} s {'ahead of' if off_s > 0 else 'behind'} the ROS clock: {cure}"

    def _apart(self) -> dict[str, str]:
        """The pair of streams whose closest stamps are the farthest apart, where that is beyond the tolerance."""
        worst, pair = self._tolerance_ns, ("", "")
        stamps = {name: np.unique(np.array(stream.stamps_ns, np.int64)) for name, stream in self._streams.items()}
        for one, other in combinations(self._streams, 2):
            closest = _closest_ns(stamps[one], stamps[other])
            if closest > worst:
                worst, pair = closest, (one, other)
        if not pair[0]:
            return {}
        text = f"its stamps are never within tolerance_s = {self._tolerance_ns / 1e9:g} of those of '{pair[1]}'"
        return {pair[0]: f"{text}: the closest are {worst / 1e6:.0f} ms apart"}


def _closest_ns(one: np.ndarray, other: np.ndarray) -> int:
    """Smallest difference between stamps of two streams, both int64 (n,), ascending; -1 where one has none."""
    if not len(one) or not len(other):
        return -1
    after = np.searchsorted(other, one).clip(1, len(other) - 1) if len(other) > 1 else np.zeros(len(one), np.int64)
    return int(np.minimum(np.abs(one - other[after]), np.abs(one - other[after - 1])).min())


def missed(faults: str) -> str:
    """A line for people about faults of streams; empty for none."""
    return f"{'few observations' if SELDOM in faults else 'no observation'}: {faults}" if faults else ""
