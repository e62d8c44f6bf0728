"""Fixtures of the episode tools: real recordings with takeovers, and episodes made to order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from film import film_contract, filmed

from apo_core.types import ControlSource, EpisodeKind, EpisodeOutcome, Outcome, Step
from apo_episodes.writer import EpisodeWriter

TAKEOVERS = Path(__file__).parents[1] / "data" / "takeovers"
POSE = np.array([0.1, 0.2, 0.3, 0, 0, 0.6, 0.8], np.float32)  # with a unit quaternion


@pytest.fixture
def takeovers() -> Path:
    """Folder of four recorded excerpts of Lift, each with one takeover by the operator."""
    return TAKEOVERS


@pytest.fixture
def with_facts() -> Callable[..., Step]:
    """A change for `write`: tokens of every second step, path left and stages of the task at all but the first."""

    def change(index, step):
        tokens = np.arange(index, index + 7) if index % 2 else None
        stages = {"grasped": index > 1, "stacked": False} if index else None
        remaining = index / 8 if index else None
        return replace(step, policy_tokens=tokens, task_remaining=remaining, task_stages=stages)

    return change


@pytest.fixture
def write(write_episode) -> Callable[..., Path]:
    """See `write_episode`; test files may have a `write` of their own."""
    return write_episode


@pytest.fixture
def write_episode(tmp_path, small_contract, make_info, make_step) -> Callable[..., Path]:
    """(sources as letters P, H, O for hold) -> path of a finished episode of the small contract, one step a letter.

    `change(index, step)` gives the step to be written instead; other options are fields of EpisodeInfo.
    """
    letters = {"P": ControlSource.POLICY, "H": ControlSource.HUMAN, "O": ControlSource.HOLD}

    def make(
        sources="PPHP",
        episode_id="e1",
        outcome=Outcome.SUCCESS,
        change=None,
        losses=None,
        folder=None,
        contract=small_contract,
        compression="zstd",
        **info,
    ):
        facts = replace(make_info(episode_id), contract_json=contract.json, **info)
        writer = EpisodeWriter(folder or tmp_path / "episodes", facts, contract, compression)
        for index, letter in enumerate(sources):
            step = make_step(index + 1, letters[letter])
            step.observation.state["ee_pose"][:] = POSE
            if facts.kind == EpisodeKind.DEMONSTRATION:
                step = replace(step, policy_action=None, chunk_stamp_ns=0)
            writer.append(change(index, step) if change else step)
        return writer.finish(EpisodeOutcome(outcome, "test", terminated=True, truncated=False), losses)

    return make


@pytest.fixture
def write_film(write_episode, with_facts) -> Callable[..., Path]:
    """(sources, ...) -> path of a lossless episode with cameras `front` (film_frame), `grey` (its red) and `depth`."""
    contract = film_contract()

    def change(index, step):
        return filmed(index, with_facts(index, step))

    def make(sources="PPHHPPPPOPPPPPHPPPPPPPPPP", **options):
        return write_episode(sources, **{"change": change, "contract": contract, **options})

    return make
