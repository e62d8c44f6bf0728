"""Which episode files are sound: each is checked in full once, and again when it has changed. No torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from apo_core.system.atomic_files import replace_file
from apo_episodes.inspection.validate import Validation, validate
from apo_trainer.data.episode_files import RejectedEpisode

CHECKS_FILE = "episode_checks.json"  # beside the folders of the runs


@dataclass(frozen=True, slots=True)
class _Finding:
    bytes: int
    mtime_ns: int
    faults: tuple[str, ...]


class EpisodeChecks:
    """Findings about episode files, in a JSON file that several processes may share.

    Args:
        record: the JSON file; one that is missing or damaged costs time only. None keeps nothing.
        check: reads a whole file and returns its faults.
    """

    def __init__(self, record: Path | None, check: Callable[[Path], Validation] = validate):
        self._record, self._check = record, check
        self._known: dict[str, _Finding] = self._read()

    def faults(self, path: Path) -> tuple[str, ...]:
        """What is wrong with a file; empty when it is sound."""
        try:
            status = path.stat()
        except OSError as error:
            return (f"cannot be read: {error.strerror}",)
        known = self._known.get(str(path.resolve()))
        if known is None or (known.bytes, known.mtime_ns) != (status.st_size, status.st_mtime_ns):
            known = _Finding(status.st_size, status.st_mtime_ns, tuple(self._check(path).faults))
            self._known[str(path.resolve())] = known
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
        """Keeps the findings about files that are still there; what cannot be written is found out again."""
        if self._record is None:
            return
        here = {**self._read(), **self._known}
        document = {path: asdict(finding) for path, finding in here.items() if Path(path).is_file()}
        with contextlib.suppress(OSError):
            self._record.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._record, json.dumps(document, indent=1))

    def _read(self) -> dict[str, _Finding]:
        try:
            document = json.loads(self._record.read_text()) if self._record else {}
            return {
                path: _Finding(int(entry["bytes"]), int(entry["mtime_ns"]), tuple(map(str, entry["faults"])))
                for path, entry in document.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
