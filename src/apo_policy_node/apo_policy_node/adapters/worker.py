"""The thread that loads adapters: requested ones first, otherwise the one promoted in the store."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from functools import partial

from apo_core.adapters.manifest import policy_name
from apo_core.adapters.promotion import Promotion
from apo_policy_node.adapters.reloader import AdapterReloader, ReloadResult, StagedAdapter
from apo_policy_node.adapters.staged_promotion import StagedPromotion

Reply = Callable[[ReloadResult], None]


class ReloadWorker:
    """Stages adapters in a thread of its own and has them swapped by the thread that predicts.

    Args:
        reloader: stages here, swaps there.
        between: runs a job in the predicting thread between two inferences.
        promotion: that is in force in the adapter store.
        finished: receives every result, in one of the two threads.
        follow: whether to load what is promoted in the store.
        poll_s: seconds between two looks at the store.
        report: receives a line when the store can no longer be read.

    Attributes:
        staged: brings candidates to a promotion; None: others do. Set it before `start`.
    """

    def __init__(
        self,
        reloader: AdapterReloader,
        between: Callable[[Callable[[], None]], None],
        promotion: Callable[[], Promotion],
        finished: Reply,
        follow: bool,
        poll_s: float,
        report: Callable[[str], None],
    ):
        self._reloader, self._between, self._promotion = reloader, between, promotion
        self._finished, self._report = finished, report
        self._is_following, self._poll_s = follow, poll_s
        self.staged: StagedPromotion | None = None
        self._faults: dict[str, str] = {}
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    @property
    def store_fault(self) -> str:
        """Why promotions are not followed, or no trial goes on, now; empty if they are, or need not be."""
        return "; ".join(f"{source}: {fault}" for source, fault in self._faults.items() if fault)

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
        self._requests.put(partial(self._on_request, version, reply))

    def roll_back(self, reply: Reply) -> None:
        """Requests the adapter that served before; as `request`."""
        self._requests.put(partial(self._roll_back, reply))

    def post(self, job: Callable[[], None]) -> None:
        """Runs a job of the trial in the thread, after earlier jobs and requests."""
        self._requests.put(partial(self._guarded, job))

    def serve(self, staged: StagedAdapter, done: Reply) -> None:
        """Has a staged adapter swapped in; `done` receives the result in the predicting thread."""
        self._between(lambda: self._finish(self._reloader.swap(staged), done))

    def _run(self) -> None:
        look_at_s = time.monotonic() + self._poll_s
        while True:
            left_s = look_at_s - time.monotonic() if self._is_following else None
            if left_s is not None and left_s <= 0.0:  # also where there is always something to do
                self._follow()
                look_at_s = time.monotonic() + self._poll_s
                continue
            try:
                request = self._requests.get(timeout=left_s)
            except queue.Empty:
                continue
            if request is None:
                return
            request()

    def _follow(self) -> None:
        try:
            version = self._reloader.poll(self._promotion())
            self._note("adapter store", "")
        except Exception as error:  # a store that cannot be read now may be readable later
            self._note("adapter store", str(error))
            return
        if self.staged is not None:
            self._guarded(self.staged.look if version is None else partial(self.staged.followed, version))
        if version is not None:
            self._load(version, lambda _: None)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
            self._note("trial", "")
        except Exception as error:  # the thread must go on
            self._note("trial", f"{type(error).__name__}: {error}")

    def _note(self, source: str, fault: str) -> None:
        """Keeps what is wrong with one of the two, and reports it once."""
        if fault and self._faults.get(source) != fault:
            self._report(f"{source}: {fault}")
        self._faults = {**self._faults, source: fault}

    def _chosen(self, reason: str) -> None:
        """A person has chosen what serves."""
        self._reloader.pass_over()
        if self.staged is not None:
            self._guarded(partial(self.staged.interrupt, reason))

    def _on_request(self, version: int, reply: Reply) -> None:
        self._chosen(f"{policy_name(version)} was requested")
        self._load(version, reply)

    def _load(self, version: int, reply: Reply) -> None:
        staged = self._reloader.stage(version)
        if isinstance(staged, ReloadResult):
            self._finish(staged, reply)
        else:
            self._between(lambda: self._finish(self._reloader.swap(staged), reply))

    def _roll_back(self, reply: Reply) -> None:
        self._chosen("a rollback was requested")
        # decided there: a swap may be waiting already
        self._between(lambda: self._finish(self._reloader.roll_back(), reply))

    def _finish(self, result: ReloadResult, reply: Reply) -> None:
        self._finished(result)
        reply(result)
