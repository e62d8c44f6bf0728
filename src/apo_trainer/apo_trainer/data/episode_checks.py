"""Which episode files are sound: each is checked in full once, and again when it has changed. No torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from apo_core.system.atomic_files import replace_file
from apo_episodes.inspection.validate import Validation, validate
from apo_trainer.data.episode_files import RejectedEpisode

CHECKS_FILE = "episode_checks.jsonl"  # beside the folders of the runs
_STALE_LINES = 100  # as many may lie in the record beside those that count, or as many as these


class _Finding(NamedTuple):
    bytes: int
    mtime_ns: int
    faults: tuple[str, ...]


class EpisodeChecks:
    """Findings about episode files, in a file of JSON lines that several processes may append to.

    Args:
        record: that file; one that is missing or damaged costs time only. None keeps nothing.
        check: reads a whole file and returns its faults.
    """

    def __init__(self, record: Path | None, check: Callable[[Path], Validation] = validate):
        self._record, self._check = record, check
        self._known: dict[str, _Finding] = {}
        self._unsaved: list[str] = []  # paths
        self._read()

    def faults(self, path: Path) -> tuple[str, ...]:
        """What is wrong with a file; empty when it is sound."""
        try:
            status = path.stat()
        except OSError as error:
            return (f"cannot be read: {error.strerror}",)
        name = str(path.resolve())
        known = self._known.get(name)
        if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
            known = _Finding(status.st_size, status.st_mtime_ns, tuple(self._check(path).faults))
            self._known[name] = known
            self._unsaved.append(name)
        return known.faults

    def sort_out(
        self, paths: Iterable[Path], progress: Callable[[Path], None] = lambda _: None
    ) -> tuple[list[Path], list[RejectedEpisode]]:
        """Parts the sound files from the others.

        Args:
            paths: of episode files.
            progress: called before each file; may raise to end it.

        Returns:
            The sound files in their order, and a RejectedEpisode for each of the others.
        """
        sound: list[Path] = []
        rejected: list[RejectedEpisode] = []
        for path in paths:
            progress(path)
            faults = self.faults(path)
            if faults:
                rejected.append(RejectedEpisode(path, "; ".join(faults)))
            else:
                sound.append(path)
        self.save()
        return sound, rejected

    def save(self) -> None:
        """Appends the findings that the record lacks; what cannot be written is found out again."""
        if self._record is None or not self._unsaved:
            return
        text = "".join(_line(name, self._known[name]) for name in dict.fromkeys(self._unsaved))
        with contextlib.suppress(OSError):
            self._record.parent.mkdir(parents=True, exist_ok=True)
            with self._record.open("ab") as file:
                file.write(b"\n" * _is_cut_off(self._record) + text.encode())
            self._unsaved.clear()

    def _read(self) -> None:
        """Takes over the findings of the record, and rewrites it where most of it counts no longer."""
        if self._record is None:
            return
        lines = 0
        try:
            with self._record.open(errors="replace") as file:
                for line in file:
                    lines += 1
                    with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
                        entry = json.loads(line)
                        faults = tuple(map(str, entry["faults"]))
                        self._known[str(entry["path"])] = _Finding(int(entry["bytes"]), int(entry["mtime_ns"]), faults)
            self._known = {name: found for name, found in self._known.items() if Path(name).is_file()}
            if lines > 2 * len(self._known) + _STALE_LINES:
                replace_file(self._record, "".join(_line(name, found) for name, found in self._known.items()))
        except OSError:
            return


def _line(name: str, finding: _Finding) -> str:
    return json.dumps({"path": name, **finding._asdict()}) + "\n"


def _is_cut_off(path: Path) -> bool:
    """Whether a file lacks the end of its last line: a process was killed while it wrote."""
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"
