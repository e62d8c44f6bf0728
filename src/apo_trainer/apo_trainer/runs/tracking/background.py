"""A tracker on a thread of its own: what it waits for or fails at, the training does not."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from apo_trainer.runs.tracking.tracker import Note, Tracker

_Call = Callable[[Tracker], None]
_WAITING = 1000  # calls; of a server that does not answer, later ones are dropped
CLOSE_S = 10.0  # for what waits at the end


class BackgroundTracker:
    """Hands every call to a tracker on a daemon thread; its first failure is noted and ends it. No method raises.

    Args:
        name: in notes.
        start: makes the tracker, on that thread.
        note: takes at most one line.
        close_s: seconds that `close` waits at most.
        waiting: calls that may wait.
    """

    def __init__(
        self, name: str, start: Callable[[], Tracker], note: Note, close_s: float = CLOSE_S, waiting: int = _WAITING
    ):
        self._name, self._start, self._note, self._close_s = name, start, note, close_s
        self._calls: queue.Queue[_Call | None] = queue.Queue(waiting)
        self._lock, self._ended, self._dropped = threading.Lock(), False, 0
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def step(self, metrics: Mapping[str, Any], samples: Mapping[str, Sequence[float]]) -> None:
        """See Tracker."""
        self._put(lambda tracker: tracker.step(metrics, samples))

    def adapter(self, step: int, tensors: Mapping[str, np.ndarray]) -> None:
        """See Tracker."""
        self._put(lambda tracker: tracker.adapter(step, tensors))

    def close(self, succeeded: bool) -> None:
        """Waits for what is on its way, for `close_s` seconds at most."""
        deadline_s = time.monotonic() + self._close_s
        last: tuple[_Call | None, ...] = (lambda tracker: tracker.close(succeeded), None)
        for call in last:
            try:
                self._calls.put(call, timeout=max(deadline_s - time.monotonic(), 0.0))
            except queue.Full:
                break
        self._thread.join(max(deadline_s - time.monotonic(), 0.0))
        if self._thread.is_alive():
            self._fail(f"does not answer: {self._calls.qsize() + self._dropped} calls were not taken; the run goes on")
        elif self._dropped:
            self._fail(f"was too slow: {self._dropped} steps are missing there")

    def _put(self, call: _Call) -> None:
        if self._ended:
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._dropped += 1

    def _work(self) -> None:
        try:
            tracker = self._start()
            while (call := self._calls.get()) is not None:
                call(tracker)
        except BaseException as error:  # whatever a client library raises, SystemExit included
            self._fail(f"failed, and takes nothing more of this run: {type(error).__name__}: {error}"[:500])
            while self._calls.get() is not None:
                pass

    def _fail(self, text: str) -> None:
        with self._lock:
            first, self._ended = not self._ended, True
        if first:
            self._note(f"tracker {self._name} {text}")
