"""The thread that looks for new episodes, so that checking them delays nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from apo_core.errors import ApoError
from apo_trainer.service.new_episodes import NewEpisodes


class EpisodeWatch:
    """Looks for new episodes every `interval_s`, and when woken.

    Args:
        episodes: read by this thread only.
        interval_s: between two looks.
        niceness: of the thread, on top of the process's.
        report: receives a line for each rejected file, and when the folder cannot be read.
    """

    def __init__(self, episodes: NewEpisodes, interval_s: float, niceness: int, report: Callable[[str], None]):
        self._episodes, self._interval_s, self._niceness, self._report = episodes, interval_s, niceness, report
        self._wake, self._stopped = threading.Event(), False
        self._fault = ""
        self._thread = threading.Thread(target=self._run, name="episodes", daemon=True)

    @property
    def fault(self) -> str:
        """Why the last look failed; empty when it did not."""
        return self._fault

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Looks now."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread after the file that it is checking."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        # Linux gives every thread a niceness of its own
        nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + self._niceness)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
        while not self._stopped:
            self._wake.clear()
            self._look()
            self._wake.wait(self._interval_s)

    def _look(self) -> None:
        try:
            for item in self._episodes.look():
                self._report(f"rejected: {item.path}: {item.reason}")
        except (ApoError, OSError) as error:
            if str(error) != self._fault:
                self._report(f"episodes: {error}")
            self._fault = str(error)
        else:
            self._fault = ""
