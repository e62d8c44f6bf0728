"""What is observed of the running stack, as values with a time. Pure."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something at a time of the system clock: sending for commands, arrival beside the arbiter for its inputs."""

    t: int  # ns


@dataclass(frozen=True, slots=True)
class Command(Event):
    """A command of the arbiter."""

    tick: int
    values: tuple[float, ...]
    source: str
    reason: str
    stamp: int  # ns, ROS time
    observation: int
    chunk: int
    operator: int = 0  # ns, ROS time of the operator's newest sample that the arbiter knows; 0: none


@dataclass(frozen=True, slots=True)
class RobotTwist(Event):
    """What the arm receives."""

    observation: int
    twist: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pose(Event):
    """The end effector's position arrived."""

    position: tuple[float, ...]
    stamp: int = 0  # ns, ROS time


@dataclass(frozen=True, slots=True)
class ForeignPose(Event):
    """A fault sends a pose."""

    stamp: int  # ns, ROS time


@dataclass(frozen=True, slots=True)
class Operator(Event):
    """A sample of the operator was sent."""

    acts: bool  # connected and active
    stamp: int = 0  # ns, ROS time


@dataclass(frozen=True, slots=True)
class Chunk(Event):
    """An answer of the policy arrived."""

    usable: bool  # no fault, all values finite
    observation: int = 0  # ns, ROS time of the observation behind it


@dataclass(frozen=True, slots=True)
class Estop(Event):
    """A stop was requested (true), or has been cleared (false)."""

    stop: bool


@dataclass(frozen=True, slots=True)
class Publishers(Event):
    """Number of publishers of a topic that may have one only."""

    topic: str
    count: int


@dataclass(frozen=True, slots=True)
class Arbiter(Event):
    """The arbiter's process: whether it can run, and who it is."""

    pid: int  # 0: there is none
    runs: bool  # false: there is none, or it is stopped


@dataclass(frozen=True, slots=True)
class Starved(Event):
    """The arbiter was ready to run and got no processor, for so long of the time from `t` to `until`."""

    ns: int
    until: int


@dataclass(frozen=True, slots=True)
class Now(Event):
    """Time goes on, and nothing else has happened."""


@dataclass(frozen=True, slots=True)
class LineDelay(Event):
    """From now on the line of the arbiter's machine delays what passes it by at most so much."""

    s: float


@dataclass(frozen=True, slots=True)
class News(Event):
    """Anything else, for the runner."""

    what: str  # alive, status, episode, adapter, trainer, injected, asked, answer
    data: dict[str, Any] = field(default_factory=dict)


_TYPES: dict[str, Any] = {
    kind.__name__: kind for kind in (Command, RobotTwist, Pose, ForeignPose, Operator, Chunk, Estop, Publishers, News)
}


def encode(event: Event) -> str:
    """One line of JSON."""
    values = [getattr(event, spec.name) for spec in fields(event)]
    return json.dumps([type(event).__name__, *values], separators=(",", ":"))


def decode(line: str) -> Event | None:
    """The event of a line; None for a line that is none."""
    try:
        name, *values = json.loads(line)
        event: Event = _TYPES[name](*(tuple(value) if isinstance(value, list) else value for value in values))
        return event
    except (ValueError, KeyError, TypeError):
        return None


class InOrder:
    """Puts events into the order of their times, for an observer that is behind with some topics more than with others.

    Args:
        delay_s: an event is given out once one that is so much younger has come.
    """

    def __init__(self, delay_s: float):
        self._delay_ns = round(delay_s * NANOSECONDS)
        self._waiting: list[tuple[int, int, Event]] = []
        self._count = self._newest = 0

    def add(self, event: Event) -> Iterator[Event]:
        """Takes an event; yields those whose turn it is."""
        self._count += 1
        heapq.heappush(self._waiting, (event.t, self._count, event))
        self._newest = max(self._newest, event.t)
        while self._waiting[0][0] <= self._newest - self._delay_ns:
            yield heapq.heappop(self._waiting)[2]
            if not self._waiting:
                return

    def rest(self) -> Iterator[Event]:
        """Yields all that wait."""
        while self._waiting:
            yield heapq.heappop(self._waiting)[2]


class StopRequests:
    """What calls of the arbiter's services mean for an emergency stop.

    A stop holds from its answer on: the arbiter has taken it by then. A clear ends it from the call on, since its
    answer may come after the motion that it allows; a rejected one leaves the stop.
    """

    def __init__(self) -> None:
        self._stopped = False

    def on_news(self, news: News) -> Iterator[Estop]:
        """Takes the news that a service was called ("asked") or has answered ("answer")."""
        clears, is_answer = news.data["service"] == "arbiter/clear", news.what == "answer"
        if not is_answer:
            if clears:
                yield Estop(news.t, False)
        elif not news.data["success"]:
            if clears and self._stopped:
                yield Estop(news.t, True)
        elif clears:
            self._stopped = False
        else:
            self._stopped = True
            yield Estop(news.t, True)
