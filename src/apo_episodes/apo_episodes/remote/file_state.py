"""The state of an episode file, by which a journal of transfers knows that nothing has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from apo_episodes.annotation import annotation_path


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
