"""When the child runs, and what its state is. Pure; steady time is passed in, s."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from apo_recorder.background.job import Job
from apo_recorder.background.progress import Progress

_FIRST_S, _LONGEST_S = 1.0, 60.0  # before the child is started again; each wait is twice the one before
_SILENT_S = 120.0  # of a child at work: longer than libraries wait for an answer
HUNG_S = 1800.0  # of a child at work: a chunk of 8 MB in such a time is no upload
_UPLOADS = "check network, credentials and the parameters upload_* in config/recorder.yaml"
_VIDEO = "see the parameters video_* in config/recorder.yaml"
_LINE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ChildState:
    """What the diagnostics show of the child."""

    text: str
    fault: str = ""  # without figures that change; empty: all is well
    values: Mapping[str, str] = field(default_factory=dict)


class Supervision:
    """A child that is to run for ever.

    Args:
        job: its work.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._advice = f"recording goes on; {_UPLOADS if job.upload else _VIDEO}"
        self._progress: Progress | None = None  # None: no child has reported yet
        self._is_at_work = False  # rather than waiting for its next look
        self._pid = 0  # 0: it does not run
        self._changed_s = 0.0  # when the child reported last
        self._next_s = 0.0  # when it is started
        self._wait_s = _FIRST_S
        self._starts = 0
        self._end = ""  # why it ended last; empty: it has not, or it has done a look since
        self._last_line = ""  # of its output that is no progress: an error ends with its reason

    def is_due(self, now_s: float) -> bool:
        """Whether to start the child now."""
        return not self._pid and now_s >= self._next_s

    def on_started(self, pid: int, now_s: float) -> None:
        """The child was started; `pid` is its process."""
        self._pid, self._changed_s, self._is_at_work = pid, now_s, True
        self._starts += 1
        self._last_line = ""

    def on_line(self, line: str, now_s: float) -> None:
        """The child has printed a line."""
        progress = Progress.from_line(line)
        if progress is None:
            if line.strip():
                self._last_line = line.strip()[:_LINE_LENGTH]
            return
        self._progress, self._changed_s, self._is_at_work = progress, now_s, progress.is_looking
        if not progress.is_looking:
            self._wait_s, self._end = _FIRST_S, ""

    def is_hung(self, now_s: float) -> bool:
        """Whether to kill the child, which does nothing any more."""
        return self._silent_s(now_s) >= HUNG_S

    def _silent_s(self, now_s: float) -> float:
        """How long a child at work has reported nothing."""
        return now_s - self._changed_s if self._pid and self._is_at_work else 0.0

    def on_ended(self, status: int, now_s: float) -> None:
        """The child has ended; `status` as of subprocess, negative for a signal."""
        if self.is_hung(now_s):
            self.on_failed(f"did nothing for {HUNG_S / 60:.0f} min and was killed", now_s)
            return
        because = f": {self._last_line}" if self._last_line else ""
        self.on_failed(f"ended with {_status(status)}{because}", now_s)

    def on_failed(self, reason: str, now_s: float) -> None:
        """The child is not there, whether it ended or could not be started."""
        self._pid, self._end = 0, reason
        self._next_s, self._wait_s = now_s + self._wait_s, min(2 * self._wait_s, _LONGEST_S)

    def state(self, now_s: float) -> ChildState:
        """The state to show."""
        progress, silent_s = self._progress or Progress(), self._silent_s(now_s)
        counts = self._counts(progress)
        text, fault = counts if self._progress else "starts", self._fault(progress)
        if self._end:
            fault = f"the process {self._end}; {self._advice}"
        if silent_s >= _SILENT_S and not progress.fault:
            what = "the store does not answer" if self._job.upload else "it does nothing"
            text, fault = f"silent for {silent_s:.0f} s, {counts}", f"{what}; {self._advice}"
        if not self._pid and self._end:
            text = f"starts again in {max(0.0, self._next_s - now_s):.0f} s, {counts}"
        return ChildState(f"{text}: {fault}" if fault else text, fault, self._values(progress))

    def _counts(self, progress: Progress) -> str:
        parts = []
        if self._job.video:
            parts.append(f"{progress.video} video, {progress.lossless} to become video")
        if self._job.upload:
            parts.append(f"{progress.uploaded} uploaded, {progress.waiting} waiting")
        return f"episodes: {'; '.join(parts)}"

    def _fault(self, progress: Progress) -> str:
        """The worst that the child has reported."""
        if progress.fault:
            return f"{progress.fault}; it is tried again, {self._advice}"
        if progress.video_fault:
            return f"{progress.video_fault}; it is tried again, recording goes on"
        if progress.left_out:
            return f"episodes left out: {progress.left_out}, the first {progress.left_out_because}"
        if progress.kept:
            return f"episodes that stay lossless: {progress.kept}, the first {progress.kept_because}; {_VIDEO}"
        return ""

    def _values(self, progress: Progress) -> dict[str, str]:
        values = {"pid": str(self._pid), "process_starts": str(self._starts)}
        if self._job.upload:
            values |= {
                "uploaded": str(progress.uploaded),
                "waiting": str(progress.waiting),
                "left_out": str(progress.left_out),
                "sent_mb": f"{progress.sent_bytes / 1e6:.1f}",
            }
        if self._job.video:
            values |= {
                "video": str(progress.video),
                "lossless": str(progress.lossless),
                "kept_lossless": str(progress.kept),
                "saved_mb": f"{progress.saved_bytes / 1e6:.1f}",
            }
        return values


def _status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
