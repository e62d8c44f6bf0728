"""Recorded steps against what was observed, and published files."""

import dataclasses
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from apo_bringup.chaos.events import Command, RobotTwist
from apo_bringup.chaos.file_checks import Observed, check_episode, check_store
from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_episodes.reader import read_episode
from apo_episodes.writer import EpisodeWriter


@pytest.fixture
def path(tmp_path, small_contract, make_info, make_step) -> Path:
    """An episode of four steps, the last two driven by the operator."""
    writer = EpisodeWriter(tmp_path, make_info(), small_contract, "zstd")
    for tick, source in enumerate(["POLICY", "POLICY", "HUMAN", "HUMAN"], 1):
        step = make_step(tick, ControlSource(source))
        step.observation.state["ee_pose"][3:] = np.array([0.0, 0.0, 0.0, 1.0])  # a quaternion
        writer.append(step)
    return writer.finish(EpisodeOutcome(Outcome.SUCCESS, "t", True, False))


@pytest.fixture
def seen(path) -> list[Command]:
    """The commands of these steps, as an observer sees them."""
    episode = read_episode(path, images=False)
    return [
        Command(0, int(tick), tuple(map(float, values)), str(source), "r", int(stamp), int(observation), 0)
        for tick, values, source, stamp, observation in zip(
            episode.ticks,
            episode.executed_actions,
            episode.sources,
            episode.stamps_ns["command"],
            episode.stamps_ns["observation"],
            strict=True,
        )
    ]


def judged(path: Path, commands: list[Command], twists: tuple[RobotTwist, ...] = ()) -> tuple[list[str], Counter]:
    observed, counts = Observed(), Counter()
    for event in [*commands, *twists]:
        observed.on_event(event)
    return [f"{v.invariant}: {v.text}" for v in check_episode(path, observed, counts, 0)], counts


def test_an_episode_of_what_was_seen_is_good(path, seen):
    found, counts = judged(path, seen)
    assert found == []
    assert counts == {"episodes": 1, "compared": 4}


def test_a_step_of_another_source_is_reported(path, seen):
    changed = [*seen[:2], dataclasses.replace(seen[2], source="POLICY"), seen[3]]
    assert judged(path, changed)[0] == ["recorded_source: e1.h5: step 2 is HUMAN, the command of tick 3 was POLICY"]


def test_a_step_with_other_values_is_reported(path, seen):
    changed = [dataclasses.replace(seen[0], values=(0.5,) * 7), *seen[1:]]
    (found,) = judged(path, changed)[0]
    assert found.startswith("recorded_source: e1.h5: step 0 executed [0.001")


def test_a_step_that_did_not_reach_the_arm_is_reported(path, seen):
    (found,) = judged(path, seen, (RobotTwist(0, seen[1].observation, (0.5,) * 6),))[0]
    assert "step 1 executed" in found
    assert "the arm received [(0.5" in found
    good = RobotTwist(0, seen[1].observation, seen[1].values[:6])
    assert judged(path, seen, (good,))[0] == []


def test_steps_that_nobody_saw_are_counted(path, seen):
    found, counts = judged(path, seen[1:])
    assert found == []
    assert counts == {"episodes": 1, "compared": 3, "unseen": 1}


def test_a_damaged_file_is_reported(path, seen):
    with h5py.File(path, "r+") as file:
        file["action/executed"][0] = 50.0
    found, _ = judged(path, seen)
    assert any(text.startswith("valid_files: e1.h5: ") for text in found)
    path.write_bytes(path.read_bytes()[:100])
    assert judged(path, seen)[0][0].startswith("valid_files: e1.h5: schema")


def test_a_hostile_file_of_a_fault_is_skipped(path, seen):
    hostile = path.rename(path.with_name("hostile-5.h5"))
    hostile.write_bytes(b"x")
    assert judged(hostile, seen) == ([], Counter())


def test_a_damaged_adapter_is_reported(tmp_path):
    counts = Counter()
    (tmp_path / "000001").mkdir()
    (found,) = check_store(tmp_path, counts, 0)
    assert found.invariant == "valid_files"
    assert "manifest.json is missing" in found.text
    assert counts == {"adapters": 1}
