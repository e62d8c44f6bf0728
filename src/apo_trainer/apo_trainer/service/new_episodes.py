"""New episodes of a folder: checked as they appear, counted until a run uses them. No torch."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from apo_core.errors import EpisodeFormatError
from apo_core.system.atomic_files import replace_file
from apo_core.types import EpisodeKind
from apo_episodes.reader import episode_marks, read_episode
from apo_trainer.data.episode_checks import EpisodeChecks
from apo_trainer.data.episode_files import RejectedEpisode, is_trained_on


class NewEpisodes:
    """What a folder of episodes has for the next run. `look` and the rest may be called from two threads.

    Args:
        folder: of the recorder; it may appear later.
        record: JSON file with the ids that a run has used, so that a restart does not count them again.
        checks: decides which files are sound.

    Raises:
        EpisodeFormatError: the record is damaged.
    """

    def __init__(self, folder: Path, record: Path, checks: EpisodeChecks):
        self._folder, self._record, self._checks = folder, record, checks
        self._lock = threading.Lock()
        # by name: thousands of paths and marks take megabytes
        self._seen: dict[str, tuple[int, int]] = {}  # size and time of change of each file that was looked at
        self._new: dict[Path, str] = {}  # sound and unused: episode id
        self._rejected: dict[Path, str] = {}
        self._used = self._read()

    @property
    def new(self) -> int:
        """Sound episodes of deployment that no run has used."""
        with self._lock:
            return len(self._new)

    @property
    def rejected(self) -> Mapping[Path, str]:
        """Rejected files, and why."""
        with self._lock:
            return dict(self._rejected)

    def look(self) -> list[RejectedEpisode]:
        """Checks the files that appeared or changed; returns those of them that are rejected.

        Raises:
            EpisodeFormatError: the folder cannot be listed.
        """
        found, changed, there = [], False, set()
        for name, mark in self._files():
            there.add(name)
            if self._seen.get(name) != mark:
                found += self._sort(self._folder / name)
                self._seen[name], changed = mark, True  # after it: until then a run that starts counts it as used
        self._drop_missing(there)
        if changed:
            self._checks.save()
        return found

    def take(self, episode_ids: Sequence[str] = ()) -> int:
        """A run uses these episodes, or all; returns how many of them were known to be new.

        Raises:
            EpisodeFormatError: the folder cannot be listed.
            OSError: the record cannot be written.
        """
        # a run also uses what is in the folder and was not looked at yet; files are named by their episode
        unseen = () if episode_ids else (Path(name).stem for name, _ in self._files() if name not in self._seen)
        with self._lock:
            taken = {path: name for path, name in self._new.items() if not episode_ids or name in episode_ids}
            self._used |= {*taken.values(), *episode_ids, *unseen}
            for path in taken:
                del self._new[path]
            self._record.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._record, json.dumps(sorted(self._used), indent=1) + "\n")
        return len(taken)

    def _files(self) -> list[tuple[str, tuple[int, int]]]:
        """Names, sizes and times of change, by name."""
        try:
            return episode_marks(self._folder) if self._folder.is_dir() else []
        except OSError as error:
            raise EpisodeFormatError(f"{self._folder}: cannot be listed: {error}") from None

    def _sort(self, path: Path) -> list[RejectedEpisode]:
        faults = self._checks.faults(path)
        try:
            episode_id = "" if faults else _id_for_training(path)
        except EpisodeFormatError as error:
            faults, episode_id = (RejectedEpisode.because(path, error).reason,), ""
        with self._lock:
            self._new.pop(path, None)
            self._rejected.pop(path, None)
            if faults:
                self._rejected[path] = "; ".join(faults)
                return [RejectedEpisode(path, self._rejected[path])]
            if episode_id and episode_id not in self._used:
                self._new[path] = episode_id
        return []

    def _drop_missing(self, there: set[str]) -> None:
        with self._lock:
            for name in self._seen.keys() - there:
                del self._seen[name]
            for known in (self._new, self._rejected):
                for path in [path for path in known if path.name not in there]:
                    del known[path]

    def _read(self) -> set[str]:
        try:
            document = json.loads(self._record.read_text())
            if not isinstance(document, list) or not all(isinstance(name, str) for name in document):
                raise ValueError("it must be a list of episode ids")
        except FileNotFoundError:
            return set()
        except (OSError, ValueError) as error:
            raise EpisodeFormatError(
                f"{self._record}: cannot be read: {error}; deleting it makes all episodes new"
            ) from None
        return set(document)


def _id_for_training(path: Path) -> str:
    """The id of an episode; empty for one that does not count as new data."""
    info = read_episode(path, images=False).info
    return info.episode_id if info.kind == EpisodeKind.INTERACTION and is_trained_on(info) else ""
