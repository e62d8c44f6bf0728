"""Brings finished episodes to a store, as `./apo episodes push --watch` does, and reports how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from apo_core.remote.chunk_store import Chunk, RemoteError
from apo_core.remote.patience import Patience
from apo_episodes.remote.push import Pushed, push
from apo_episodes.remote.store import RemoteStore
from apo_recorder.background.job import UploadJob
from apo_recorder.background.progress import ProgressReport

_PATIENCE_S = 300.0  # for which an access is tried again before the next look begins anew


class Uploads:
    """The work of a job.

    Args:
        job: what to bring where.
        progress: takes each change.
        patience: how long an access to the store is tried again; None: 5 minutes.

    Raises:
        StoreError: no such protocol, its package is missing, or it does not take the options.
    """

    def __init__(self, job: UploadJob, progress: ProgressReport, patience: Patience | None = None):
        self._job, self._progress = job, progress
        self._patience = patience or Patience(_PATIENCE_S, time.monotonic, time.sleep, self._on_fault)
        self._store = _ReportingStore(job, self._on_sent)
        self._files = 0  # in the folder
        self._done: set[str] = set()  # names of those that the store has
        self._left_out: dict[str, str] = {}  # name -> why

    def look(self, files: Sequence[Path], not_yet: Collection[Path] = ()) -> None:
        """Brings what is there now; a failing store ends it, and is reported.

        Args:
            files: the finished episodes.
            not_yet: those of them that wait.
        """
        self._files, self._done = len(files), self._done & {path.name for path in files}
        self._left_out.clear()
        self._show()
        fault = ""
        try:
            due = [path for path in files if path not in not_yet]
            push(due, self._store, self._job.robot, self._patience, self._on_done, self._on_left_out)
        except RemoteError as error:
            fault = str(error)
        self._show(fault=fault)

    def _on_done(self, pushed: Pushed) -> None:
        self._done.add(pushed.path.name)
        if pushed.is_new:
            self._show(fault="")

    def _on_left_out(self, path: Path, error: Exception) -> None:
        self._done.discard(path.name)
        self._left_out[path.name] = str(error) if str(path) in str(error) else f"{path}: {error}"
        self._show()

    def _on_sent(self, chunk: Chunk) -> None:
        self._show(sent_bytes=self._progress.newest.sent_bytes + chunk.size, fault="")

    def _on_fault(self, text: str) -> None:
        self._show(fault=text)

    def _show(self, **changes: Any) -> None:
        left_out = len(self._left_out)
        counts: dict[str, Any] = {"uploaded": len(self._done), "left_out": left_out}
        counts["waiting"] = max(0, self._files - len(self._done) - left_out)
        counts["left_out_because"] = next(iter(self._left_out.values()), "")
        self._progress.show(**counts, **changes)


class _ReportingStore(RemoteStore):
    """A store that reports each chunk that it has taken, since a large episode takes long."""

    def __init__(self, job: UploadJob, sent: Callable[[Chunk], None]):
        super().__init__(job.url, job.options)
        self._sent = sent

    def put_chunk(self, data: bytes) -> Chunk:
        chunk = super().put_chunk(data)
        self._sent(chunk)
        return chunk
