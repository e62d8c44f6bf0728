"""Writes episodes on a thread of its own, so that the control path never waits for the disk."""

from __future__ import annotations

import enum
import queue
import re
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from apo_core.contract.contract import Contract
from apo_core.errors import EpisodeToolError, ObservationError
from apo_core.types import ControlSource, EpisodeInfo, Outcome, Step
from apo_episodes.discarded import discard
from apo_episodes.inspection.attention import Watched
from apo_episodes.labeling import intervention_share, takeovers
from apo_episodes.writer import EpisodeWriter
from apo_recorder.episode_state import EpisodeEnd
from apo_recorder.step_checks import step_fault

WriterFactory = Callable[[Path, EpisodeInfo, Contract, str, int], EpisodeWriter]
_NUMBERS = re.compile(r":? ?\[[^\]]*\]")  # of an error, which differ from step to step


class EventKind(enum.StrEnum):
    """Events of an episode on disk."""

    STARTED = "STARTED"
    SAVED = "SAVED"
    DISCARDED = "DISCARDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class WriterEvent:
    """One episode began or ended on disk."""

    kind: EventKind
    episode_id: str
    outcome: Outcome = Outcome.UNLABELED
    reason: str = ""
    path: Path | None = None  # SAVED only
    steps: int = 0
    takeovers: int = 0
    intervention_share: float = 0.0  # 0..1
    counts: Mapping[str, int] = field(default_factory=dict)  # frames_recorded and the fields of DropCounts
    is_undo: bool = False  # answers `undo`
    adapter_versions: tuple[int, ...] = ()  # SAVED only: whose actions were executed after the pre-roll, ascending
    begin_ns: int = 0  # SAVED only: stamp of the first observation after the pre-roll
    watched: Watched | None = None  # SAVED, and an episode that `undo` took back: what it took of the operator

    @property
    def text(self) -> str:
        """One line for the log."""
        if self.kind is not EventKind.SAVED:
            return f"{self.kind} {self.episode_id}: {self.reason}"
        counts = "".join(f", {name} {count}" for name, count in self.counts.items() if count)
        return f"{self.kind} {self.episode_id}: {self.steps} steps, {self.reason}{counts}"

    def message_fields(self) -> dict[str, object]:
        """Fields of apo_interfaces/EpisodeEvent, without the header."""
        return {
            "event": self.kind.value,
            "episode_id": self.episode_id,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "path": str(self.path or ""),
            "steps": self.steps,
            "takeovers": self.takeovers,
            "intervention_share": self.intervention_share,
            "frames_recorded": self.counts.get("frames_recorded", 0),
            "frames_lost": self.counts.get("frames_lost", 0),
            "adapter_versions": list(self.adapter_versions),
        }


@dataclass(slots=True)
class _Open:
    """The open episode, owned by the thread."""

    info: EpisodeInfo
    file: EpisodeWriter
    stamps_ns: list[int] = field(default_factory=list)  # observation stamp of each written step
    sources: list[ControlSource] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)  # adapter of each written step
    rejections: Counter[str] = field(default_factory=Counter)  # {why: steps that do not fit the contract}


class EpisodeWriterThread:
    """A queue of work and the thread that does it; `begin`, `append` and `end` return at once.

    Args:
        directory: where finished files go.
        contract: what a step looks like.
        compression: see EpisodeWriter.
        queue_steps: steps that may wait; `append` rejects further ones.
        notify: called from the thread when `events` has something new; must return at once.
        open_file: makes the writer of a file.
        jpeg_quality: see EpisodeWriter.
        undoable: saved episodes that `undo` remembers.

    Attributes:
        rejections: {why: steps of the episode begun last that do not fit the contract}; replaced as a whole.
    """

    def __init__(
        self,
        directory: Path,
        contract: Contract,
        compression: str,
        queue_steps: int,
        notify: Callable[[], None] = lambda: None,
        open_file: WriterFactory = EpisodeWriter,
        jpeg_quality: int = 95,
        undoable: int = 100,
    ):
        self._directory, self._contract, self._compression = directory, contract, compression
        self._notify, self._open_file, self._jpeg_quality = notify, open_file, jpeg_quality
        # episodes that `undo` can move, oldest first
        self._saved: deque[tuple[Path, Watched]] = deque(maxlen=undoable)
        self._cameras = len(contract.images)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(queue_steps)
        self._events: queue.SimpleQueue[WriterEvent] = queue.SimpleQueue()
        self._episode: _Open | None = None
        self.rejections: Mapping[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="episode_writer")
        self._thread.start()

    def begin(self, info: EpisodeInfo) -> None:
        """Opens a file; STARTED or FAILED follows."""
        self._work.put(lambda: self._begin(info))

    def append(self, step: Step) -> bool:
        """Adds a step to the file begun last; False when the queue is full, which loses the step."""
        if not self._room.acquire(blocking=False):
            return False
        self._work.put(lambda: self._append(step))
        return True

    def end(self, end: EpisodeEnd) -> None:
        """Completes the file; SAVED, DISCARDED or FAILED follows, unless FAILED came before."""
        self._work.put(lambda: self._end(end))

    @property
    def waiting_steps(self) -> int:
        """Steps that wait for the disk."""
        return self._work.qsize()

    def undo(self) -> None:
        """Moves the episode saved last to .discarded, out of the data set; DISCARDED or FAILED follows."""
        self._work.put(self._undo)

    def events(self) -> list[WriterEvent]:
        """What happened since the last call, oldest first."""
        events = []
        while not self._events.empty():
            events.append(self._events.get())
        return events

    def close(self) -> None:
        """Finishes the queued work, then ends the thread. An episode that was not ended stays a partial file."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:  # a full disk, a missing folder, any error of HDF5: the recorder goes on
                self._fail(f"{type(error).__name__}: {error}")
        if self._episode is not None:
            self._episode.file.abandon()

    def _report(self, event: WriterEvent) -> None:
        self._events.put(event)
        self._notify()

    def _fail(self, reason: str) -> None:
        episode, self._episode = self._episode, None
        if episode is None:
            return
        episode.file.abandon()
        self._report(
            WriterEvent(
                EventKind.FAILED,
                episode.info.episode_id,
                reason=f"{reason} (apo episodes recover {episode.file.partial_path})",
                steps=len(episode.sources),
            )
        )

    def _begin(self, info: EpisodeInfo) -> None:
        self.rejections = {}
        try:
            self._episode = _Open(
                info, self._open_file(self._directory, info, self._contract, self._compression, self._jpeg_quality)
            )
        except Exception as error:
            self._report(WriterEvent(EventKind.FAILED, info.episode_id, reason=f"{type(error).__name__}: {error}"))
            return
        self._report(WriterEvent(EventKind.STARTED, info.episode_id))

    def _undo(self) -> None:
        if not self._saved:
            self._report(WriterEvent(EventKind.FAILED, "", reason="no episode was saved yet", is_undo=True))
            return
        path, watched = self._saved[-1]
        try:
            kept = discard(path)
        except (OSError, EpisodeToolError) as error:
            self._report(WriterEvent(EventKind.FAILED, path.stem, reason=f"cannot be moved: {error}", is_undo=True))
            return
        self._saved.pop()
        reason = f"taken back, kept in {kept}"
        self._report(WriterEvent(EventKind.DISCARDED, path.stem, reason=reason, is_undo=True, watched=watched))

    def _append(self, step: Step) -> None:
        self._room.release()
        episode = self._episode
        if episode is None:
            return
        fault = step_fault(step, self._contract, episode.stamps_ns[-1] if episode.stamps_ns else 0)
        try:
            if not fault:
                episode.file.append(step)
        except ObservationError as error:
            fault = _NUMBERS.sub("", str(error))
        if fault:
            episode.rejections[fault] += 1
            self.rejections = dict(episode.rejections)
            return
        episode.stamps_ns.append(step.observation.stamp_ns)
        episode.sources.append(step.source)
        episode.versions.append(step.adapter_version)

    def _end(self, end: EpisodeEnd) -> None:
        episode = self._episode
        if episode is None:
            return
        steps = bisect_right(episode.stamps_ns, end.until_ns) if end.until_ns else len(episode.sources)
        if end.outcome is None or not steps:
            episode.file.discard()
            self._episode = None
            reason = end.reason if end.outcome is None else f"no step was recorded ({end.reason})"
            reason = "; ".join([reason, *_loss_lines(episode.rejections, end)])
            counts = asdict(end.drops)
            self._report(WriterEvent(EventKind.DISCARDED, episode.info.episode_id, reason=reason, counts=counts))
            return
        counts = asdict(end.drops)
        rejected = episode.rejections.total()
        counts["steps_dropped"] += rejected
        counts["frames_lost"] += rejected * self._cameras
        counts["frames_recorded"] = steps * self._cameras
        episode.file.truncate(steps)
        path = episode.file.finish(end.outcome, counts, end.streams, Counter(episode.rejections) + Counter(end.causes))
        self._episode = None
        sources, first = episode.sources[:steps], min(episode.info.pre_roll_steps, steps - 1)
        rate_hz, kind = self._contract.rate_hz, episode.info.kind
        watched = Watched.of_steps(end.outcome.outcome, sources, episode.versions[:steps], rate_hz, kind)
        self._saved.append((path, watched))
        driven = zip(episode.versions[first:steps], sources[first:], strict=True)
        self._report(
            WriterEvent(
                EventKind.SAVED,
                episode.info.episode_id,
                outcome=end.outcome.outcome,
                reason="; ".join([end.reason, *_loss_lines(episode.rejections, end)]),
                path=path,
                steps=steps,
                takeovers=len(takeovers(sources)),
                intervention_share=intervention_share(sources),
                counts=counts,
                adapter_versions=tuple(sorted({version for version, by in driven if by is ControlSource.POLICY})),
                begin_ns=episode.stamps_ns[first],
                watched=watched,
            )
        )


def _loss_lines(rejections: Mapping[str, int], end: EpisodeEnd) -> list[str]:
    """Why steps are missing, for the reason of the end."""
    lines = [f"{count} steps were rejected: {why}" for why, count in rejections.items()]
    lines += [f"{count} steps were lost: {why}" for why, count in end.causes.items()]
    return [*lines, end.note] if end.note else lines
