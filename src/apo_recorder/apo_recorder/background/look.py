"""One round of the child over the episodes of its job."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from apo_core.remote.patience import Patience
from apo_episodes.reader import list_episodes
from apo_recorder.background.job import Job
from apo_recorder.background.progress import Progress, ProgressReport
from apo_recorder.background.uploads import Uploads
from apo_recorder.background.videos import Videos


class Look:
    """What a job does to the finished episodes, again and again.

    Args:
        job: what to do.
        report: takes each change.
        patience: how long an access to the store is tried again; None: 5 minutes.

    Raises:
        StoreError: see Uploads.
        EpisodeFormatError: see Videos.
    """

    def __init__(self, job: Job, report: Callable[[Progress], None], patience: Patience | None = None):
        self._folder, self._progress = Path(job.folder), ProgressReport(report)
        self._videos = Videos(job.video, self._progress) if job.video else None
        self._uploads = Uploads(job.upload, self._progress, patience) if job.upload else None

    def __call__(self) -> None:
        """Video first: a store gets a tenth of the bytes."""
        files = list_episodes(self._folder)
        self._progress.show(is_looking=True)
        not_yet = set[Path]()
        if self._videos is not None:
            not_yet = self._videos.look(files, datetime.now(UTC), time.monotonic())
        if self._uploads is not None:
            self._uploads.look(files, not_yet)
        self._progress.show(is_looking=False)
