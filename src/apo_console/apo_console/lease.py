"""Who of the viewers drives: one at a time, as long as its input arrives in time. Pure; time is passed in."""

from __future__ import annotations

from dataclasses import dataclass

_ROUND_TRIPS = 5  # the median of so many counts: one late answer of a browser is no bad line


@dataclass(frozen=True, slots=True)
class Round:
    """A viewer's line."""

    times_s: tuple[float, ...] = ()  # newest round trips
    asked: tuple[int, float] | None = None  # number of the request that waits for its answer, and when it was sent

    def seconds(self, now_s: float) -> float | None:
        """The median round trip; one that has not come back counts with its age. None: nothing is known yet."""
        times = list(self.times_s)
        if self.asked is not None and (not times or now_s - self.asked[1] > max(times)):
            times.append(now_s - self.asked[1])
        return sorted(times)[len(times) // 2] if self.times_s else None


class Lease:
    """The lease on the device `browser`.

    The holder sends input all the time, also at rest. Whoever falls silent, leaves, or has too long a line loses it;
    nothing but a new request gives it back.

    Args:
        timeout_s: largest pause behind an input of the holder that moves the robot.
        rest_timeout_s: the same behind one that does not.
        max_round_trip_s: largest median round trip of the holder's line.
    """

    def __init__(self, timeout_s: float, rest_timeout_s: float, max_round_trip_s: float):
        self._timeouts_s, self._max_s = {True: timeout_s, False: rest_timeout_s}, max_round_trip_s
        self._moves = False  # what the newest input does
        self._rounds: dict[str, Round] = {}
        self.holder = ""  # id of a viewer; empty: nobody
        self.reason = ""  # why the last holder has lost it
        self._sequence = -1
        self._input_s = 0.0
        self.rejected = 0  # inputs that did not count

    def join(self, viewer: str) -> None:
        """A viewer has come."""
        self._rounds[viewer] = Round()

    def leave(self, viewer: str) -> bool:
        """A viewer has gone; whether it held the lease."""
        self._rounds.pop(viewer, None)
        return self.release(viewer, "the page was closed")

    def request(self, viewer: str, now_s: float, take_over: bool = False) -> str:
        """Gives the lease to a viewer; returns why not, empty if it has it now.

        Args:
            viewer: who asks.
            now_s: steady time.
            take_over: also from somebody else.
        """
        if viewer not in self._rounds:
            return "not connected"
        if fault := self._line_fault(viewer, now_s):
            return fault
        if self.holder not in ("", viewer) and not take_over:
            return "somebody else drives"
        if self.holder != viewer:
            self.reason = "taken over" if self.holder else ""
        self.holder, self._sequence, self._input_s, self._moves = viewer, -1, now_s, False
        return ""

    def release(self, viewer: str, reason: str) -> bool:
        """The viewer gives the lease back; whether it had it."""
        if viewer != self.holder or not viewer:
            return False
        self.holder, self.reason = "", reason
        return True

    def on_input(self, viewer: str, sequence: int, now_s: float, moves: bool) -> bool:
        """Whether an input counts: of the holder, and newer than the one before.

        Args:
            viewer: who sends it.
            sequence: counts the viewer's inputs.
            now_s: steady time of arrival.
            moves: whether it moves the robot, or its operator has not let go.
        """
        if viewer != self.holder or not viewer or sequence <= self._sequence:
            self.rejected += 1
            return False
        self._sequence, self._input_s, self._moves = sequence, now_s, moves
        return True

    def on_asked(self, viewer: str, number: int, now_s: float) -> None:
        """A request for an answer of its browser was sent; each has a larger number than the one before."""
        before = self._rounds.get(viewer)
        if before is not None and before.asked is None:
            self._rounds[viewer] = Round(before.times_s, (number, now_s))

    def on_answered(self, viewer: str, number: int, now_s: float) -> None:
        """Its browser has answered a request.

        The answer to one sent earlier, while an older one waited, is no measurement of the one that waits now. A newer
        one is: what waits was replaced before it was sent.
        """
        before = self._rounds.get(viewer)
        if before is not None and before.asked is not None and number >= before.asked[0]:
            times = (*before.times_s, now_s - before.asked[1])[-_ROUND_TRIPS:]
            self._rounds[viewer] = Round(times)

    def round_trip_s(self, viewer: str, now_s: float) -> float | None:
        """Of a viewer's line; None: not known yet."""
        line = self._rounds.get(viewer)
        return None if line is None else line.seconds(now_s)

    def advance(self, now_s: float) -> bool:
        """Takes the lease from a holder that is silent or too far away; whether it did."""
        if not self.holder:
            return False
        silent_s = now_s - self._input_s
        if silent_s > (limit_s := self._timeouts_s[self._moves]):
            name = "lease_timeout_s" if self._moves else "lease_rest_timeout_s"
            return self.release(self.holder, f"no input for {silent_s:.2f} s, {name} = {limit_s:g}")
        if fault := self._line_fault(self.holder, now_s):
            return self.release(self.holder, fault)
        return False

    def _line_fault(self, viewer: str, now_s: float) -> str:
        seconds = self.round_trip_s(viewer, now_s)
        if seconds is None:
            return "the round trip is not measured yet"
        if seconds > self._max_s:
            return f"round trip {seconds * 1e3:.0f} ms, max_round_trip_s = {self._max_s:g}"
        return ""
