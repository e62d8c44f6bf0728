"""The thread that loads adapters: requested ones first, otherwise the one promoted in the store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial

from apo_core.adapters.promotion import Promotion
from apo_policy_node.adapters.reloader import AdapterReloader, ReloadResult

Reply = Callable[[ReloadResult], None]


class ReloadWorker:
    """Stages adapters in a thread of its own and has them swapped by the thread that predicts.

    Args:
        reloader: stages here, swaps there.
        between: runs a job in the predicting thread between two inferences.
        promotion: that is in force in the adapter store.
        finished: receives every result, in one of the two threads.
        auto_reload: whether to load what is promoted in the store.
        poll_s: seconds between two looks at the store.
        report: receives a line when the store can no longer be read.
    """

    def __init__(
        self,
        reloader: AdapterReloader,
        between: Callable[[Callable[[], None]], None],
        promotion: Callable[[], Promotion],
        finished: Reply,
        auto_reload: bool,
        poll_s: float,
        report: Callable[[str], None],
    ):
        self._reloader, self._between, self._promotion = reloader, between, promotion
        self._finished, self._report = finished, report
        self._auto_reload, self._poll_s = auto_reload, poll_s
        self._store_fault = ""
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    @property
    def store_fault(self) -> str:
        """Why promotions are not followed now; empty if they are, or need not be."""
        return self._store_fault

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the adapter it is staging."""
        self._requests.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def request(self, version: int, reply: Reply) -> None:
        """Requests an adapter; returns at once, `reply` receives the result in another thread."""
        self._requests.put(partial(self._load, version, reply))

    def roll_back(self, reply: Reply) -> None:
        """Requests the adapter that served before; as `request`."""
        self._requests.put(partial(self._roll_back, reply))

    def _run(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=self._poll_s if self._auto_reload else None)
            except queue.Empty:
                self._follow()
                continue
            if request is None:
                return
            self._reloader.pass_over()
            request()

    def _follow(self) -> None:
        try:
            version = self._reloader.poll(self._promotion())
        except Exception as error:  # a store that cannot be read now may be readable later
            fault = f"adapter store: {error}"
            if fault != self._store_fault:
                self._report(fault)
            self._store_fault = fault
            return
        self._store_fault = ""
        if version is not None:
            self._load(version, lambda _: None)

    def _load(self, version: int, reply: Reply) -> None:
        staged = self._reloader.stage(version)
        if isinstance(staged, ReloadResult):
            self._finish(staged, reply)
        else:
            self._between(lambda: self._finish(self._reloader.swap(staged), reply))

    def _roll_back(self, reply: Reply) -> None:
        # decided there: a swap may be waiting already
        self._between(lambda: self._finish(self._reloader.roll_back(), reply))

    def _finish(self, result: ReloadResult, reply: Reply) -> None:
        self._finished(result)
        reply(result)
