"""The thread that brings adapters in: requests first, otherwise what is promoted in the store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from apo_core.adapter_promotion import Promotion
from apo_policy_node.adapter_reloader import AdapterReloader, ReloadResult


class ReloadWorker:
    """Stages adapters in a thread of its own and has them swapped by the thread that predicts.

    Args:
        reloader: stages here, swaps there.
        between: runs a job in the predicting thread between two inferences.
        promotion: that is in force in the adapter store.
        finished: gets every result, in one of the two threads.
        auto_reload: whether to load what is promoted in the store.
        poll_s: seconds between two looks at the store.
        report: gets a line when the store cannot be read.
    """

    def __init__(
        self,
        reloader: AdapterReloader,
        between: Callable[[Callable[[], None]], None],
        promotion: Callable[[], Promotion],
        finished: Callable[[ReloadResult], None],
        auto_reload: bool,
        poll_s: float,
        report: Callable[[str], None],
    ):
        self._reloader, self._between, self._promotion = reloader, between, promotion
        self._finished, self._report = finished, report
        self._auto_reload, self._poll_s = auto_reload, poll_s
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the adapter it is staging."""
        self._requests.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def request(self, version: int, reply: Callable[[ReloadResult], None]) -> None:
        """Asks for an adapter; returns at once, `reply` gets the result in another thread."""
        self._requests.put((version, reply))

    def _run(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=self._poll_s if self._auto_reload else None)
            except queue.Empty:
                request = self._promoted()
                if request is None:
                    continue
            else:
                if request is None:
                    return
                self._reloader.pass_over()
            self._load(*request)

    def _promoted(self) -> tuple[int, Callable[[ReloadResult], None]] | None:
        try:
            version = self._reloader.poll(self._promotion())
        except Exception as error:  # a store that cannot be read now may be readable later
            self._report(f"adapter store: {error}")
            return None
        return None if version is None else (version, lambda _: None)

    def _load(self, version: int, reply: Callable[[ReloadResult], None]) -> None:
        def finish(result: ReloadResult) -> None:
            self._finished(result)
            reply(result)

        staged = self._reloader.stage(version)
        if isinstance(staged, ReloadResult):
            finish(staged)
        else:
            self._between(lambda: finish(self._reloader.swap(staged)))
