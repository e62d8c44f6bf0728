"""Simulations side by side, each in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def results_of(
    run: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None
) -> Iterator[Iterator[Result]]:
    """Runs each job in a worker process; the results come in the order of the jobs.

    Args:
        run: a function of a module; what it raises is raised here.
        jobs: its arguments.
        workers: processes; up to 2 if None.
    """
    wanted = workers or min(2, os.cpu_count() or 1)
    pool = get_context("spawn").Pool(max(min(wanted, len(jobs)), 1), initializer=_ignore_interrupt)
    try:
        yield pool.imap(run, jobs)
    finally:
        pool.terminate()
        pool.join()


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
