"""Waiting for other nodes."""

import time
from collections.abc import Callable

from rclpy.executors import Executor


def spin_until(executor: Executor, condition: Callable[[], object], what: str, limit_s: float) -> None:
    """Spins until the condition holds.

    Raises:
        AssertionError: it does not within the limit; the message names `what`.
    """
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"waited {limit_s} s for {what}"
        executor.spin_once(timeout_sec=0.05)
