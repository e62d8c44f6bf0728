"""The episodes of one folder: a list that is kept up to date, one episode in detail, and what a person changes."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apo_console.jpeg import encode
from apo_console.view.episode import details, row
from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_core.types import Outcome
from apo_episodes.annotation import Annotation, annotate, annotation_path, read_annotations
from apo_episodes.discarded import FOLDER, discard, list_discarded, restore
from apo_episodes.labeling import LabelRule
from apo_episodes.names import is_file_name
from apo_episodes.reader import list_episodes, read_episode, read_frames

_MAX_FRAMES = 64  # of one answer
RECORDED = "RECORDED"  # in place of an outcome: the recorded one counts again
EXPORT_FORMATS = {"lerobot": "", "robomimic": ".hdf5", "apo": "", "mcap": ""}  # name -> suffix of what is made
_Key = tuple[int, int, int]


class EpisodeLibrary:
    """Episode files of a folder; used by one thread at a time.

    Args:
        directory: `episode_dir` of the recorder; need not exist yet.
        rule: of the labels that are shown.
        export_dir: where exports are made.
        quality, largest_width: of the pictures.
        read_s: time that one list spends on files not read before; one is always read.
    """

    def __init__(
        self,
        directory: Path,
        rule: LabelRule,
        export_dir: Path,
        quality: int = 80,
        largest_width: int = 640,
        read_s: float = 1.0,
    ):
        self._directory, self._rule, self._exports = Path(directory), rule, Path(export_dir)
        self._quality, self._width, self._read_s = quality, largest_width, read_s
        self._known: dict[Path, tuple[_Key, dict[str, Any]]] = {}
        self._played: tuple[Path, _Key, int, tuple[str, ...]] | None = None  # the episode that frames came from last
        self._exporting: subprocess.Popen[str] | None = None
        self._is_closed = False

    def rows(self) -> dict[str, Any]:
        """`{rows, unread}`: the newest episode first; `unread` files were left for the next call.

        A file that cannot be read is a row with `fault` in place of numbers.
        """
        places = [*list_episodes(self._directory), *list_discarded(self._directory)]
        places.sort(key=lambda path: path.name, reverse=True)
        until_s, read, unread = time.monotonic() + self._read_s, 0, 0
        known: dict[Path, tuple[_Key, dict[str, Any]]] = {}
        for path in places:
            try:
                key = _key(path)
            except FileNotFoundError:  # moved since it was listed
                continue
            if path in self._known and self._known[path][0] == key:
                known[path] = self._known[path]
            elif not read or time.monotonic() < until_s:
                known[path] = key, self._read(path)
                read += 1
            else:
                unread += 1
        self._known = known
        rows = sorted((found for _, found in known.values()), key=lambda row: row.get("created", ""), reverse=True)
        return {"rows": rows, "unread": unread}

    def _read(self, path: Path) -> dict[str, Any]:
        is_discarded = path.parent.name == FOLDER
        try:
            return {**row(read_episode(path, images=False)), "id": path.stem, "discarded": is_discarded}
        except (EpisodeFormatError, OSError) as error:
            return {"id": path.stem, "fault": str(error), "discarded": is_discarded}

    def path(self, episode_id: str) -> Path:
        """The file of an episode, also of a discarded one.

        Raises:
            EpisodeToolError: there is none, or it is not a valid name.
        """
        if not is_file_name(episode_id):
            raise EpisodeToolError(f"{episode_id[:80]!r} is not the name of an episode")
        for folder in (self._directory, self._directory / FOLDER):
            path = folder / f"{episode_id}.h5"
            if path.is_file() and not path.is_symlink():
                return path
        raise EpisodeToolError(f"episode {episode_id} is not in {self._directory}")

    def details(self, episode_id: str) -> dict[str, Any]:
        """Everything about an episode but its arrays, and who drove with which label at each step.

        Raises:
            EpisodeToolError, EpisodeFormatError: not there, or not readable.
        """
        path = self.path(episode_id)
        episode = read_episode(path, images=False)
        decisions = [asdict(decision) for decision in read_annotations(path, episode.info.episode_id)]
        return {
            **details(episode, self._rule),
            "id": path.stem,
            "decisions": decisions,
            "discarded": path.parent.name == FOLDER,
        }

    def frames(self, episode_id: str, camera: str, start: int, count: int) -> bytes:
        """JPEG pictures of some steps, each behind its length (uint32, little-endian).

        Raises:
            EpisodeToolError: no such episode, camera or step.
            EpisodeFormatError: not readable.
        """
        path = self.path(episode_id)
        steps, cameras = self._size(path)
        if camera not in cameras:
            raise EpisodeToolError(f"camera {camera[:80]!r} is not one of {sorted(cameras)}")
        if not 0 <= start < steps or count < 1:
            raise EpisodeToolError(f"steps {start} to {start + count} are not in 0..{steps - 1}")
        frames = read_frames(path, range(start, min(start + min(count, _MAX_FRAMES), steps)), (camera,))
        pictures = [encode(frame, self._quality, self._width) for frame in frames[camera]]
        return b"".join(struct.pack("<I", len(picture)) + picture for picture in pictures)

    def _size(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Steps and cameras of an episode; read once while it is played."""
        key, played = _key(path), self._played
        if played is not None and played[:2] == (path, key):
            return played[2:]
        episode = read_episode(path, images=False)
        self._played = path, key, episode.num_steps, tuple(episode.contract.image_names)
        return self._played[2:]

    def annotate(self, episode_id: str, outcome: str, note: str, author: str, now_utc: str) -> str:
        """Corrects the outcome; `RECORDED` goes back to the recorded one. Returns what was done.

        Raises:
            EpisodeToolError, EpisodeFormatError: no such episode or outcome, or nothing can be written.
        """
        if outcome not in (RECORDED, *Outcome):
            raise EpisodeToolError(f"outcome {outcome[:80]!r} is not one of {[RECORDED, *map(str, Outcome)]}")
        path = self.path(episode_id)
        decision = Annotation("" if outcome == RECORDED else outcome, note, author, now_utc)
        annotate(path, read_episode(path, images=False).info.episode_id, decision)
        return f"{episode_id}: {outcome}"

    def discard(self, episode_id: str) -> str:
        """Takes an episode out of the data set; `restore` brings it back.

        Raises:
            EpisodeToolError, OSError: not there, or it cannot be moved.
        """
        path = self.path(episode_id)
        if path.parent.name == FOLDER:
            raise EpisodeToolError(f"{episode_id} is discarded already")
        discard(path)
        return f"{episode_id} is discarded"

    def restore(self, episode_id: str) -> str:
        """Puts a discarded episode back.

        Raises:
            EpisodeToolError, OSError: it is not discarded, or it cannot be moved.
        """
        if self.path(episode_id).parent.name != FOLDER:
            raise EpisodeToolError(f"{episode_id} is not discarded")
        restore(self._directory, episode_id)
        return f"{episode_id} is restored"

    def export(self, episode_ids: list[str], form: str, name: str) -> str:
        """Writes episodes in the format of another tool, as `apo episodes export` does; returns its last line.

        Args:
            episode_ids: which.
            form: one of EXPORT_FORMATS.
            name: of the file or folder in `export_dir`.

        Raises:
            EpisodeToolError: a wrong argument, or the export failed.
        """
        if form not in EXPORT_FORMATS:
            raise EpisodeToolError(f"format {form[:80]!r} is not one of {sorted(EXPORT_FORMATS)}")
        if not episode_ids:
            raise EpisodeToolError("no episode is selected")
        self._exports.mkdir(parents=True, exist_ok=True)
        target = self._exports / f"{name}_{form}{EXPORT_FORMATS[form]}"
        # a program of its own: an export of an hour must not hold the lists up
        program = (
            "import os, signal, sys; os.nice(10); signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
            "from apo_episodes.cli.cli import main; sys.exit(main())"
        )
        paths = [str(self.path(episode_id)) for episode_id in episode_ids]
        command = [sys.executable, "-c", program, "export", form, *paths, "--output", str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self._exporting = process
            if self._is_closed:
                self.close()
            output, errors = process.communicate()
        self._exporting = None
        if process.returncode:
            raise EpisodeToolError(errors.strip()[-500:] or f"the export ended with {process.returncode}")
        return output.strip().splitlines()[-1]

    def close(self) -> None:
        """Ends an export that runs, which leaves nothing behind, and each that begins later; from any thread."""
        self._is_closed, process = True, self._exporting
        if process is not None:
            process.terminate()


def _key(path: Path) -> _Key:
    """Changes when the file, or the decisions about it, do."""
    found = path.stat()
    try:
        decided_ns = annotation_path(path).stat().st_mtime_ns
    except FileNotFoundError:
        decided_ns = 0
    return found.st_mtime_ns, found.st_size, decided_ns
