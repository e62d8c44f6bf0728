"""A trial of the whole loop in one process."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apo_core.types import ControlSource, Outcome
from apo_episodes.inspection.validate import validate
from apo_episodes.reader import read_episode
from apo_experiments.loop.simulated_loop import LoopSettings, SimulatedLoop, TrialFacts, episode_path, trial_facts
from apo_experiments.rollouts import RolloutSettings
from apo_sim_bridge.perturbation.settings import Perturbation, StreamPerturbation
from apo_teleop.devices.scripted_operator import ScriptedConfig
from apo_vla.lora.adapter import LoraSettings
from apo_vla.serving.policy import load_for_serving
from apo_vla.serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
ROLLOUT = RolloutSettings("Lift", "lift the red cube", str(ROOT / "config" / "contract.yaml"), 24, 5)
# an operator who takes over at once where the arm stands still for a moment, as it does on its way to the cube
HASTY = ScriptedConfig(stall_m=0.05, stall_steps=3, reaction_s=0.0, min_drive_steps=3)
SETTINGS = LoopSettings(ROLLOUT, HASTY, str(ROOT / "models" / "lift_base"), None, 4, "zstd")


@pytest.fixture(scope="module")
def policy():
    torch.set_num_threads(1)
    return load_for_serving(SETTINGS.checkpoint, "cpu", LoraSettings(rank=2, alpha=4.0), ServingSettings())


@pytest.fixture(scope="module")
def loop(policy):
    made = SimulatedLoop(SETTINGS, policy)
    yield made
    made.close()


def test_an_episode_depends_on_its_seed_alone(loop, tmp_path):
    for seed in (31, 32, 31):
        loop.run(seed, tmp_path / f"{len(list(tmp_path.iterdir()))}")
    first, other, again = (next((tmp_path / str(n)).glob("*.h5")) for n in range(3))
    assert first.name == again.name == "20000101T000031_000000_Lift.h5"
    assert first.read_bytes() == again.read_bytes()
    assert other.name == "20000101T000032_000000_Lift.h5"
    assert not (read_episode(first).executed_actions == read_episode(other).executed_actions).all()


def test_the_episode_is_what_the_nodes_would_record(loop, tmp_path):
    path = loop.run(31, tmp_path)
    assert path == episode_path(tmp_path, "Lift", 31)
    checked = validate(path)
    assert (checked.faults, checked.warnings) == ([], [])
    episode = read_episode(path)
    assert (episode.info.task, episode.info.seed, episode.info.operator) == ("Lift", 31, "scripted")
    assert episode.info.instruction == "lift the red cube"
    assert episode.ticks.tolist() == list(range(1, 25))
    assert (episode.outcome.outcome, episode.outcome.reason) == (Outcome.FAILURE, "step_limit")
    assert ControlSource.POLICY in episode.sources
    (takeover,) = episode.takeovers
    facts = trial_facts(path)
    assert facts == TrialFacts(31, False, 24, episode.sources.count(ControlSource.HUMAN), 1)
    assert takeover + facts.human_steps <= 24
    assert facts.human_steps >= 3


def test_without_a_need_the_operator_watches(policy, tmp_path):
    patient = replace(SETTINGS, operator=replace(HASTY, stall_steps=100, stray_steps=100, misgrasp_steps=0))
    loop = SimulatedLoop(patient, policy)
    path = loop.run(31, tmp_path)
    loop.close()
    assert set(read_episode(path).sources[1:]) == {ControlSource.POLICY}
    assert trial_facts(path) == TrialFacts(31, False, 24, 0, 0)


def test_late_and_lost_frames_reach_the_nodes_as_they_do_in_the_bridge(policy, tmp_path):
    delays = StreamPerturbation(observation_delay_steps=(2, 2), action_delay_steps=(1, 1), frame_drop_probability=0.1)
    perturbation = Perturbation(streams=delays)
    loop = SimulatedLoop(replace(SETTINGS, rollout=replace(ROLLOUT, perturbation=perturbation)), policy)
    episode = read_episode(loop.run(31, tmp_path))
    loop.close()
    assert episode.info.tags["perturbation"] == perturbation.text
    assert validate(episode.path).faults == []
    # without images of its own a step has no observation, so no command
    assert 10 < episode.num_steps < 22
    assert set((episode.stamps_ns["observation"][1:] - episode.stamps_ns["observation"][:-1]) // 50_000_000) > {1}


def test_an_episode_that_is_there_is_not_replaced(loop, tmp_path):
    path = episode_path(tmp_path, "Lift", 31)
    path.write_bytes(b"kept")
    with pytest.raises(OSError, match="episode of seed 31 was not saved: FileExistsError: episode file exists already"):
        loop.run(31, tmp_path)
    assert path.read_bytes() == b"kept"
