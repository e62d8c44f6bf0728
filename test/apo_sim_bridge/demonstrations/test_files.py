"""Demonstrations on disk: made by the real simulation, kept, completed."""

from pathlib import Path

import numpy as np
import pytest

from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.tasks.course import progress
from apo_core.types import ControlSource, EpisodeKind, Outcome
from apo_episodes.reader import read_episode
from apo_sim_bridge.demonstrations.collect import NoiseBursts
from apo_sim_bridge.demonstrations.files import demonstration_steps, ensure_demonstrations
from apo_sim_bridge.perturbation.settings import Perturbation, ScenePerturbation, StreamPerturbation
from apo_sim_bridge.sim.env import SimConfig, SimFrame
from apo_sim_bridge.sim.ground_truth import expert_input

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contract.yaml")


class FakeEnv:
    """A cube that is never lifted, or lifted from step `success_at` on."""

    def __init__(self, success_at: int | None):
        self.config, self._success_at = SimConfig(horizon=200), success_at

    def reset(self, seed):
        self._step = 0
        return self._frame()

    def step(self, action):
        self._step += 1
        return self._frame()

    def _frame(self):
        step = self._step
        images = {name: np.full((84, 84, 3), step, np.uint8) for name in ("agentview", "wrist")}
        cube = np.array([0.0, 0.0, 0.82, 0.0, 0.0, 0.0, 1.0])
        success = self._success_at is not None and step >= self._success_at
        return SimFrame(
            images=images,
            joint_names=tuple(f"robot0_joint{i}" for i in range(1, 8)),
            joint_positions=np.arange(7.0),
            joint_velocities=np.full(7, 0.5),
            ee_position=np.array([0.1, 0.2, 1.0]),
            ee_quaternion=np.array([1.0, 0.0, 0.0, 0.0]),
            gripper_width=0.04,
            objects={"cube": cube},
            success=success,
            truncated=False,
            step=step,
        )


def test_steps_are_what_a_recorder_would_have_written():
    steps = demonstration_steps(FakeEnv(4), "Lift", 3, NoiseBursts(probability=1.0), "lift it", CONTRACT)
    assert len(steps) == 4 + 6  # six more with the cube held
    for index, step in enumerate(steps):
        CONTRACT.check_observation(step.observation)
        assert step.tick == index and step.observation.stamp_ns == (index + 1) * 50_000_000
        assert step.observation.images["wrist"][0, 0, 0] == index
        assert step.source is ControlSource.HUMAN and step.policy_action is None
        assert step.task_remaining == pytest.approx(progress("Lift", expert_input(FakeEnv(4).reset(3))))
        assert not np.array_equal(step.human_action, step.executed_action)
    state = steps[0].observation.state
    np.testing.assert_allclose(state["ee_pose"], [0.1, 0.2, 1.0, 1.0, 0.0, 0.0, 0.0], rtol=1e-6)
    assert state["gripper_width"].tolist() == [np.float32(0.04)] and state["joint_velocity"].tolist() == [0.5] * 7


def test_a_failed_demonstration_is_none():
    assert demonstration_steps(FakeEnv(None), "Lift", 3, None, "lift it", CONTRACT) is None


def test_files_are_made_once_and_completed_later(tmp_path):
    lines = []

    def ensure(episodes, **changes):
        arguments = {
            "task": "Lift",
            "directory": tmp_path,
            "seed": 7,
            "noise": None,
            "contract": CONTRACT,
            "workers": 1,
        }
        return ensure_demonstrations(episodes=episodes, progress=lines.append, **{**arguments, **changes})

    first = ensure(1)
    assert [path.name for path in first] == ["Lift-00000007.h5"]
    assert lines[0] == "expert demonstrations of Lift: 0/1" and lines[-1].startswith(
        "expert demonstrations of Lift: 1/1"
    )
    episode = read_episode(first[0])
    assert episode.info.kind is EpisodeKind.DEMONSTRATION and episode.outcome.outcome is Outcome.SUCCESS
    assert (episode.info.instruction, episode.info.seed) == ("lift the red cube", 7)
    np.testing.assert_array_equal(episode.human_actions, episode.executed_actions)
    assert 15 < episode.num_steps < 100

    lines.clear()
    written = first[0].stat().st_mtime_ns
    assert ensure(1) == first and lines == []
    assert first[0].stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match="instruction = 'pick it up', but its episodes were made with 'lift the red"):
        ensure(1, instruction="pick it up")

    # an episode that went missing comes back the same, and the rest is added
    first[0].unlink()
    again = ensure(2)
    assert [path.name for path in again] == ["Lift-00000007.h5", "Lift-00000008.h5"]
    repeated = read_episode(again[0])
    np.testing.assert_array_equal(repeated.executed_actions, episode.executed_actions)
    np.testing.assert_array_equal(repeated.images["wrist"], episode.images["wrist"])


def test_demonstrations_of_a_perturbed_setting_are_tagged(tmp_path):
    setting = Perturbation(
        scene=ScenePerturbation(background="bricks"), streams=StreamPerturbation(action_delay_steps=(3, 3))
    )

    def ensure(perturbation):
        return ensure_demonstrations(
            "Lift", tmp_path, 1, 7, None, contract=CONTRACT, workers=1, perturbation=perturbation
        )

    (path,) = ensure(setting)
    info = read_episode(path).info
    assert info.tags == {"perturbation": '{"background": "bricks"}'}
    assert ensure(setting) == [path]
    with pytest.raises(ConfigError, match=r"perturbation = None, but its episodes were made with .*bricks"):
        ensure(Perturbation())


def test_an_unknown_task_is_rejected(tmp_path):
    with pytest.raises(ConfigError, match="task = 'Juggle' is not one of"):
        ensure_demonstrations("Juggle", tmp_path, 1, 0, contract=CONTRACT)


@pytest.mark.parametrize("text", ["", '{"settings": {', "[]", '{"settings": {}}'])
def test_half_a_ledger_is_named(tmp_path, text):
    (tmp_path / "demonstrations.json").write_text(text)
    with pytest.raises(ConfigError, match=r"demonstrations\.json: 1 fault\(s\)\n  - cannot be read"):
        ensure_demonstrations("Lift", tmp_path, 1, 0, contract=CONTRACT)
