"""Lossless episodes whose pictures can become video."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from film import film_contract, filmed

from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.writer import EpisodeWriter


@pytest.fixture
def write_film(tmp_path, make_info, make_step) -> Callable[[str], Path]:
    """(id) -> path of a finished episode of 8 steps in the folder `episodes`."""
    contract = film_contract()

    def make(episode_id: str) -> Path:
        info = replace(make_info(episode_id), contract_json=contract.json)
        writer = EpisodeWriter(tmp_path / "episodes", info, contract, "zstd")
        for index in range(8):
            writer.append(filmed(index, make_step(index + 1)))
        return writer.finish(EpisodeOutcome(Outcome.SUCCESS, "test", terminated=True, truncated=False))

    return make
