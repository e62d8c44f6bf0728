import shutil
from pathlib import Path

import pytest

from apo_core.remote.patience import Patience

TAKEOVERS = Path(__file__).parents[2] / "data" / "takeovers"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with two episodes of test/data/takeovers."""
    made = tmp_path / "episodes"
    made.mkdir()
    for path in sorted(TAKEOVERS.glob("*.h5"))[:2]:
        shutil.copy(path, made)
    return made


@pytest.fixture
def impatient() -> Patience:
    """Every access is tried once."""
    return Patience(0.0, lambda: 0.0, lambda seconds: None, lambda text: None)
