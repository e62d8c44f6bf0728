"""What an episode, or a training run, may be called: its name is also that of its file."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


def is_file_name(name: str) -> bool:
    """Whether it is letters, digits, `_`, `-` and `.`, at most 128, with no dot or sign in front."""
    return _NAME.fullmatch(name) is not None
