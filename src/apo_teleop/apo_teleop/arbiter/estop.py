"""State of the emergency stop topic, over all its publishers. Pure; steady time is passed in."""

from __future__ import annotations

from collections.abc import Collection

STOP_HOLD_NS = 2_000_000_000  # with several unknown publishers, a true holds for this long, whatever the others send
_IDENTIFY_NS = 300_000_000  # until the publisher of a message is known
_UNNUMBERED = (0, 2**64 - 1)  # of middlewares that do not count a publisher's messages (rmw/types.h)


class EstopSignal:
    """Messages of any number of publishers: a false must not undo another's true.

    A stop holds until the publisher that requested it sends false. That of one that is gone holds no longer, but is
    latched by then. Where the middleware does not identify publishers, `on_message` alone is called: then a false
    counts while there is one publisher, and a true for 2 s while there are several.
    """

    def __init__(self) -> None:
        self._newest = False
        self._true_ns: int | None = None
        self._publishers = 0
        self._identified: dict[bytes, tuple[int, bool]] = {}  # publisher -> number and value of its newest message

    def on_message(self, stop: bool, steady_ns: int) -> None:
        """A message arrived, of any publisher."""
        self._newest = stop
        if stop and not self._requested:
            self._true_ns = steady_ns

    def on_identified(self, publisher: bytes, number: int, stop: bool) -> None:
        """The message of this number of a publisher has arrived; it may come again, and after newer ones.

        Where the middleware does not number them, the message that arrived last counts.
        """
        if number in _UNNUMBERED or number > self._identified.get(publisher, (-1, False))[0]:
            self._identified[publisher] = (number, stop)
            if stop:
                self._true_ns = None  # from now on its publisher alone decides

    @property
    def _requested(self) -> bool:
        """Whether a known publisher requests a stop."""
        return any(stop for _, stop in self._identified.values())

    def count(self, publishers: int) -> None:
        """How many publishers there are; the last message of one that is gone no longer counts."""
        self._publishers = publishers
        if not publishers:
            self._newest, self._true_ns = False, None
            self._identified.clear()

    def present(self, publishers: Collection[bytes]) -> bool:
        """Which publishers there are; whether one is gone that had requested a stop."""
        gone = set(self._identified) - set(publishers)
        stops = {publisher for publisher in gone if self._identified.pop(publisher)[1]}
        return bool(stops)

    def held(self, steady_ns: int) -> bool:
        """Whether a stop is requested now."""
        age_ns = STOP_HOLD_NS if self._true_ns is None else steady_ns - self._true_ns
        if self._identified:
            return age_ns < _IDENTIFY_NS or self._requested
        return self._newest or (self._publishers != 1 and age_ns < STOP_HOLD_NS)
