"""Real recordings, and adapters of the test's own."""

import shutil
from pathlib import Path

import pytest

from apo_console.library.episodes import EpisodeLibrary
from apo_episodes.labeling import LabelRule

TAKEOVERS = Path(__file__).parents[2] / "data" / "takeovers"


@pytest.fixture
def episode_dir(tmp_path) -> Path:
    """A folder with four recorded excerpts of Lift, each with one takeover: lift-10003, 10005, 10007 and 10009."""
    return Path(shutil.copytree(TAKEOVERS, tmp_path / "episodes"))


@pytest.fixture
def library(episode_dir, tmp_path) -> EpisodeLibrary:
    """The library of `episode_dir`."""
    return EpisodeLibrary(episode_dir, LabelRule(), tmp_path / "exports")
