"""Trying again what a network or a server has failed at. Time is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from apo_core.remote.chunk_store import DamageError, RemoteError

T = TypeVar("T")
_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two attempts; each wait is twice the one before


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one access may fail.

    Args:
        limit_s: seconds from its first failure on; 0: it is tried once.
        clock: seconds, monotonic.
        sleep: waits so many seconds.
        report: takes the first failure of an access, and every other text.
    """

    limit_s: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    report: Callable[[str], None]

    def call(self, access: Callable[[], T]) -> T:
        """The result of an access.

        Raises:
            RemoteError: the last failure, once the limit has passed; DamageError at once.
        """
        began, wait_s, reported = -1.0, _FIRST_S, ""
        while True:
            try:
                return access()
            except DamageError:
                raise
            except RemoteError as error:
                now = self.clock()
                began = now if began < 0 else began
                if now - began >= self.limit_s:
                    raise
                if str(error) != reported:
                    reported = str(error)
                    self.report(reported)
                self.sleep(min(wait_s, began + self.limit_s - now))
                wait_s = min(2 * wait_s, _LONGEST_S)
