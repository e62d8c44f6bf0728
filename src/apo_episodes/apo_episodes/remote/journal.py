"""What a folder and a store have in common, so that neither is read again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from apo_core.system.atomic_files import sync
from apo_episodes.annotation import annotation_path


class Journal:
    """Names with their state, as lines of JSON; a line is whole or does not count.

    What it lacks, after a full disk for example, is looked up in the store again.

    Args:
        folder: of the journals; made with the first entry.
        of: what the journal is of; another text is another journal.
    """

    def __init__(self, folder: Path, *of: str):
        name = hashlib.sha256("\0".join(of).encode()).hexdigest()[:16]
        self._path = folder / f"{name}.jsonl"
        self._known: dict[str, list[object]] = {}
        with suppress(OSError):
            for line in self._path.read_text().splitlines():
                with suppress(ValueError, TypeError, KeyError):  # one that was cut off
                    entry = json.loads(line)
                    self._known[entry["file"]] = list(entry["state"])

    def state(self, name: str) -> list[object] | None:
        """The state with which a name was added last; None where it was not."""
        return self._known.get(name)

    def add(self, name: str, state: list[object]) -> None:
        """Adds or replaces a name. Raises OSError; then it is not in the journal."""
        self._path.parent.mkdir(exist_ok=True)
        with open(self._path, "a") as file:
            file.write(json.dumps({"file": name, "state": state}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self._path.parent)
        self._known[name] = state


def file_state(path: Path) -> list[object]:
    """What changes with the content of an episode file or of its annotation. Raises OSError."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, hashlib.sha256(read_annotation(path).encode()).hexdigest()]


def read_annotation(path: Path) -> str:
    """The annotation of an episode file; empty where it has none. Raises OSError."""
    try:
        return annotation_path(path).read_text()
    except FileNotFoundError:
        return ""
