"""What a robot has recorded and learned, behind one lock: the page's lists, and its changes of files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apo_console.library.episodes import EpisodeLibrary
from apo_console.library.learning import LearningLibrary
from apo_console.view.learning import rounds
from apo_core.errors import ApoError

ACTIONS = ("annotate", "discard_episode", "restore_episode", "export", "promote", "roll_back")


class Library:
    """Episodes and learning of one robot; methods may be called from any thread, and may take seconds.

    Args:
        episodes, learning: its parts.
    """

    def __init__(self, episodes: EpisodeLibrary, learning: LearningLibrary):
        self._episodes, self._learning = episodes, learning
        self._lock = threading.Lock()

    def episodes(self) -> dict[str, Any]:
        """See `EpisodeLibrary.rows`."""
        with self._lock:
            return self._episodes.rows()

    def episode(self, episode_id: str) -> dict[str, Any]:
        """See `EpisodeLibrary.details`."""
        return self._episodes.details(episode_id)

    def frames(self, episode_id: str, camera: str, start: int, count: int) -> bytes:
        """See `EpisodeLibrary.frames`."""
        return self._episodes.frames(episode_id, camera, start, count)

    def file(self, episode_id: str) -> Path:
        """See `EpisodeLibrary.path`."""
        return self._episodes.path(episode_id)

    def learning(self) -> dict[str, Any]:
        """Adapters, runs and rounds, see `view.learning`. Raises AdapterError."""
        with self._lock:
            found = self._episodes.rows()
            rows = {"rounds": rounds(found["rows"]), "unread": found["unread"]}
            return {**self._learning.adapters(), "runs": self._learning.runs(), **rows}

    def metrics(self, run_id: str) -> dict[str, Any]:
        """See `LearningLibrary.metrics`."""
        return self._learning.metrics(run_id)

    def close(self) -> None:
        """Ends an export that runs."""
        self._episodes.close()

    def perform(self, action: str, fields: dict[str, Any], author: str) -> str:
        """One of ACTIONS of `protocol.ACTIONS`; returns what was done.

        Raises:
            ApoError, OSError: why not.
        """
        now = datetime.now(UTC)
        utc, by = now.isoformat(), f"{fields.get('reason', '')} ({author})".strip()
        actions: dict[str, Callable[[], str]] = {
            "annotate": lambda: self._episodes.annotate(
                fields["episode"], fields["outcome"], fields["note"], author, utc
            ),
            "discard_episode": lambda: self._episodes.discard(fields["episode"]),
            "restore_episode": lambda: self._episodes.restore(fields["episode"]),
            "export": lambda: self._episodes.export(
                fields["episodes"], fields["format"], now.strftime("%Y%m%dT%H%M%S")
            ),
            "promote": lambda: self._learning.promote(fields["version"], by, utc),
            "roll_back": lambda: self._learning.roll_back(by, utc),
        }
        if action not in actions:
            raise ApoError(f"unknown action {action!r}")
        return actions[action]()
