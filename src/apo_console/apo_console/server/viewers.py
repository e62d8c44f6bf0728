"""The pages that are open: what each of them still has to receive, newest first. Used by one thread; no I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

_ANSWERS = 200  # that may wait for one page


@dataclass(slots=True)
class Frame:
    """A camera frame, packed for a page."""

    sequence: int
    data: bytes


@dataclass(slots=True)
class Viewer:
    """One page. State and frames that wait are replaced by newer ones; answers are kept in order.

    A page confirms each frame that it has shown: at most one of a camera is on its way, so that a slow line shows
    fewer pictures and not older ones.
    """

    id: str
    name: str
    _texts: deque[str] = field(default_factory=lambda: deque(maxlen=_ANSWERS))
    _state: str | None = None
    _pings: deque[bytes] = field(default_factory=lambda: deque(maxlen=2))
    _frames: dict[tuple[int, int], Frame] = field(default_factory=dict)
    _on_way: dict[tuple[int, int], int] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    frames_skipped: int = 0

    def answer(self, text: str) -> None:
        """An answer to a request of the page."""
        self._texts.append(text)
        self._news.set()

    def state(self, text: str) -> None:
        """The newest state of everything."""
        self._state = text
        self._news.set()

    def ping(self, data: bytes) -> None:
        """A request for the round trip."""
        self._pings.append(data)
        self._news.set()

    def frame(self, robot: int, camera: int, frame: Frame) -> None:
        """The newest frame of a camera."""
        if (robot, camera) in self._frames:
            self.frames_skipped += 1
        self._frames[robot, camera] = frame
        self._news.set()

    def shown(self, robot: int, camera: int, sequence: int) -> None:
        """The page has shown a frame."""
        if self._on_way.get((robot, camera)) == sequence:
            del self._on_way[robot, camera]
            self._news.set()

    async def next(self) -> str | bytes:
        """What the page receives next; waits until there is something."""
        while True:
            if (message := self._take()) is not None:
                return message
            self._news.clear()
            await self._news.wait()

    def _take(self) -> str | bytes | None:
        if self._pings:
            return self._pings.popleft()
        if self._texts:
            return self._texts.popleft()
        if self._state is not None:
            state, self._state = self._state, None
            return state
        for key, frame in self._frames.items():
            if key not in self._on_way:
                self._on_way[key] = frame.sequence
                del self._frames[key]
                return frame.data
        return None
