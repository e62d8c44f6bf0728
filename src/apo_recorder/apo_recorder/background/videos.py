"""Makes video of the lossless images of finished episodes, as `./apo episodes compact` does, and reports on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_episodes.compaction import ORIGINALS, CompactSettings, compact_episode, release_original
from apo_episodes.hdf5.video_codec import load_av
from apo_recorder.background.job import VideoJob
from apo_recorder.background.progress import ProgressReport

_ALIVE_S = 10.0  # after which a long episode is reported to be worked on
_AGAIN_S = 600.0  # after which an episode that failed is tried again
_RELEASE_S = 3600.0  # between two looks for lossless files whose time is over
_State = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found of a file in this state."""

    state: _State
    reason: str  # why it stays lossless; empty: it does not
    is_video: bool


class Videos:
    """The work of a job.

    Args:
        job: after which time, and in which quality.
        progress: takes each change.

    Raises:
        EpisodeFormatError: PyAV is missing.
    """

    def __init__(self, job: VideoJob, progress: ProgressReport):
        self._job, self._progress = job, progress
        load_av()
        self._settings = CompactSettings(job.crf, job.gop, job.floor_db)
        self._seen: dict[Path, _Seen] = {}
        self._failed: dict[Path, tuple[float, str]] = {}  # when it is tried again, and why it failed
        self._reported_s = 0.0
        self._released_s: float | None = None  # of the last look for lossless files
        self._release_fault = ""

    def look(self, files: Sequence[Path], now: datetime, steady_s: float) -> set[Path]:
        """Makes video of what is due now.

        Args:
            files: the finished episodes.
            now: with a time zone.
            steady_s: steady time.

        Returns:
            The episodes that are to become video later, without those that have failed.
        """
        present = set(files)
        self._seen = {path: seen for path, seen in self._seen.items() if path in present}
        self._failed = {path: each for path, each in self._failed.items() if path in present and each[0] > steady_s}
        waiting = {path for path in present - self._failed.keys() if self._is_new(path)}
        self._show(len(waiting))
        for path in sorted(path for path in waiting if not self._is_young(path, now)):
            self._show_alive()
            waiting.discard(path)
            try:
                made = compact_episode(path, self._settings, now, self._show_alive)
            except (EpisodeFormatError, FileNotFoundError) as error:
                self._note(path, str(error))
            except (EpisodeToolError, OSError) as error:
                self._failed[path] = steady_s + _AGAIN_S, str(error) if str(path) in str(error) else f"{path}: {error}"
            else:
                # one that is not lossless, or has no colour, is none to become video
                self._note(path, f"{path}: {made.reason}" if made.psnr_db and not made.is_video else "", made.is_video)
                if made.is_new:
                    saved = made.bytes_before - made.bytes_after
                    self._show(len(waiting), saved_bytes=self._progress.newest.saved_bytes + saved)
        self._release(now, steady_s)
        self._show(len(waiting))
        return waiting

    def _is_new(self, path: Path) -> bool:
        """Whether a file is not the one that was looked at before."""
        return path not in self._seen or self._seen[path].state != _state(path)

    def _is_young(self, path: Path, now: datetime) -> bool:
        """Whether a person may still take it back; a file of the future is of a clock that was wrong."""
        return 0 <= now.timestamp() - _state(path)[2] * 1e-9 < self._job.delay_s

    def _note(self, path: Path, reason: str, is_video: bool = False) -> None:
        self._seen[path] = _Seen(_state(path), reason, is_video)

    def _show_alive(self) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s >= _ALIVE_S:
            self._reported_s = now_s
            self._progress.show()

    def _show(self, waiting: int, **changes: int) -> None:
        kept = [seen.reason for _, seen in sorted(self._seen.items()) if seen.reason]
        self._progress.show(
            video=sum(seen.is_video for seen in self._seen.values()),
            lossless=waiting + len(self._failed),
            kept=len(kept),
            kept_because=kept[0] if kept else "",
            video_fault=next((fault for _, fault in self._failed.values()), self._release_fault),
            **changes,
        )

    def _release(self, now: datetime, steady_s: float) -> None:
        """Removes lossless files whose time is over."""
        if self._job.originals_days < 0 or (self._released_s is not None and steady_s - self._released_s < _RELEASE_S):
            return
        self._released_s, self._release_fault = steady_s, ""
        for path in (path for path, seen in self._seen.items() if seen.is_video):
            self._show_alive()
            try:
                release_original(path, self._job.originals_days, now)
            except (EpisodeFormatError, OSError) as error:
                self._release_fault = f"{path.parent / ORIGINALS / path.name} stays: {error}"


def _state(path: Path) -> _State:
    """Size, inode and time of the content in ns; zeros where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_ino, status.st_mtime_ns
