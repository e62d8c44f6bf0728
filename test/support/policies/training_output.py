"""What a training run leaves in its folders."""

import json
from pathlib import Path

from apo_core.adapters.store import AdapterStore


def result_of(folder: Path, run: str = "run") -> dict:
    """result.json of a run."""
    return json.loads((folder / run / "result.json").read_text())


def published(folder: Path) -> list[int]:
    """Versions in the store."""
    return AdapterStore(folder / "adapters").versions()
