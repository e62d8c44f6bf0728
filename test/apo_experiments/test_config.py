"""Parameters of an evaluation."""

import pytest

from apo_core.errors import ConfigError
from apo_core.tasks.specs import TASKS
from apo_experiments.config import EvaluationConfig
from apo_sim_bridge.perturbation.settings import LightPerturbation, Perturbation, ScenePerturbation


def test_seeds_count_up_from_the_first():
    assert EvaluationConfig(evaluation_seed=7, evaluation_episodes=3).seeds == range(7, 10)


@pytest.mark.parametrize("task", TASKS)
def test_episodes_take_what_the_task_gives(task):
    spec, rollout = TASKS[task], EvaluationConfig(task=task).rollout
    assert (rollout.task, rollout.instruction, rollout.horizon) == (task, spec.instruction, spec.horizon)
    assert rollout.success_hold_steps == spec.success_hold_steps


def test_episodes_take_the_perturbation():
    dark = Perturbation(light=LightPerturbation(light_intensity=(0.3, 0.3)))
    assert EvaluationConfig(perturbation=dark).rollout.perturbation == dark
    moved = Perturbation(scene=ScenePerturbation(target_range_scale=0.5))
    with pytest.raises(ConfigError, match=r"target_range_scale = 0.5 must be 0 for task 'Lift'.*config/compare.yaml"):
        EvaluationConfig(perturbation=moved)


def test_parameters_win_over_the_task():
    rollout = EvaluationConfig(task="Stack", horizon=12, success_hold_steps=2).rollout
    assert (rollout.horizon, rollout.success_hold_steps) == (12, 2)
