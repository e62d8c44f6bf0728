"""Why the streams of a contract make no observation, stream by stream. Pure; ROS time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import combinations

WARN_AFTER_NS = 3_000_000_000
NO_MESSAGE = "no message for"  # begins such a fault
_STAMP_OFF_NS = 1_000_000_000  # of a stamp from its arrival; above any latency of a driver
_HISTORY = 16


class _Stream:
    def __init__(self) -> None:
        self.received_ns = -1  # of the last message; -1: none yet
        self.stamps_ns: deque[int] = deque(maxlen=_HISTORY)


class StreamWatch:
    """Notes every message, and names what keeps them from making observations.

    Ages are of ROS time: while simulated time stands still, nothing is late.

    Args:
        streams: names of the cameras and state keys.
        tolerance_s: between the stamps of one observation.
    """

    def __init__(self, streams: Sequence[str], tolerance_s: float):
        self._names, self._tolerance_ns = tuple(streams), round(tolerance_s * 1e9)
        self._begin(-1)

    def _begin(self, now_ns: int) -> None:
        self._streams = {name: _Stream() for name in self._names}
        self._start_ns = self._formed_ns = self._now_ns = now_ns

    def _advance(self, now_ns: int) -> None:
        # the first call, or a clock that was set back: ages begin anew
        if self._start_ns < 0 or now_ns < self._now_ns - _STAMP_OFF_NS:
            self._begin(now_ns)
        self._now_ns = max(self._now_ns, now_ns)

    def add(self, stream: str, stamp_ns: int, now_ns: int) -> None:
        """A message of a stream, with its header stamp."""
        self._advance(now_ns)
        self._streams[stream].received_ns = now_ns
        self._streams[stream].stamps_ns.append(stamp_ns)

    def formed(self, now_ns: int) -> None:
        """The streams made an observation."""
        self._advance(now_ns)
        self._formed_ns = now_ns

    def faults(self, now_ns: int) -> dict[str, str]:
        """{stream: what is wrong with it}; empty while observations are made, or not for long missed."""
        self._advance(now_ns)
        if now_ns - self._formed_ns < WARN_AFTER_NS:
            return {}
        found = {name: self._fault(stream, now_ns) for name, stream in self._streams.items()}
        return {name: fault for name, fault in found.items() if fault} or self._apart()

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
        if not stream.stamps_ns:
            return ""
        stamp_ns = stream.stamps_ns[-1]
        if stamp_ns <= 0:
            return "its stamps are 0: the driver must set header.stamp"
        off_s = (stamp_ns - stream.received_ns) / 1e9
        if abs(off_s) * 1e9 >= _STAMP_OFF_NS:
            side = "ahead of" if off_s > 0 else "behind"
            return f"its stamps are {abs(off_s):.1f} s {side} the ROS clock: synchronise the clocks of both machines"
        return ""

    def _apart(self) -> dict[str, str]:
        """The pair of streams whose closest stamps are the farthest apart, where that is beyond the tolerance."""
        worst, pair = self._tolerance_ns, ("", "")
        for one, other in combinations(self._streams, 2):
            closest = min(abs(a - b) for a in self._streams[one].stamps_ns for b in self._streams[other].stamps_ns)
            if closest > worst:
                worst, pair = closest, (one, other)
        if not pair[0]:
            return {}
        text = f"its stamps are never within tolerance_s = {self._tolerance_ns / 1e9:g} of those of '{pair[1]}'"
        return {pair[0]: f"{text}: the closest are {worst / 1e6:.0f} ms apart"}
