"""The commit that a source file is of, so that a report names what made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_TIMEOUT_S = 30.0


def source_commit(file: Path | str) -> str:
    """Hash of the commit that is checked out around a file, with `-dirty` where tracked files differ from it.

    Args:
        file: such as `__file__`; links are followed.

    Returns:
        Empty where git is missing or the file is not a tracked one.
    """
    path = Path(file).resolve()
    if _git(path, "ls-files", "--error-unmatch", path.name) is None:
        return ""
    return _git(path, "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*") or ""


def _git(path: Path, *arguments: str) -> str | None:
    """Output of git in the file's folder; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(path.parent), *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
