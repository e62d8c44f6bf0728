import dataclasses
from pathlib import Path

import pytest

from apo_bringup.session.plan import (
    SessionConfig,
    deployment_trials,
    evaluation_trials,
    reload_trial,
)
from apo_core.config.parameters import load, parameter_fields, read_ros_parameters
from apo_core.errors import ConfigError
from apo_core.types import Purpose

CONFIG_DIR = Path(__file__).resolve().parents[3] / "config"
CONFIG = SessionConfig(rounds=2, episodes_per_round=3, evaluation_episodes=4, expert_episodes=5)


def test_rounds_use_different_seeds():
    seeds = [t.seed for r in range(2) for t in deployment_trials(CONFIG, r)] + [
        reload_trial(CONFIG, r).seed for r in range(2)
    ]
    assert seeds == [10000, 10001, 10002, 10003, 10004, 10005, 10006, 10007]


def test_the_operator_is_at_hand_only_while_deploying():
    assert all(t.with_operator for t in deployment_trials(CONFIG, 0))
    assert not any(t.with_operator for t in [*evaluation_trials(CONFIG), reload_trial(CONFIG, 0)])


def test_evaluation_seeds_are_fixed():
    assert [t.seed for t in evaluation_trials(CONFIG)] == [50000, 50001, 50002, 50003]


def test_another_session_has_seeds_of_its_own():
    other = dataclasses.replace(CONFIG, seed=2)
    assert [t.seed for t in deployment_trials(other, 0)] == [10016, 10017, 10018]
    assert reload_trial(other, 1).seed == 10023
    assert [t.seed for t in evaluation_trials(other)] == [50008, 50009, 50010, 50011]
    with pytest.raises(ConfigError, match=r"deployment_seed = 90000 and evaluation_seed = 90000 overlap"):
        dataclasses.replace(CONFIG, seed=10000)


def test_tags_name_purpose_and_round():
    assert deployment_trials(CONFIG, 1)[2].tags() == ["purpose=deployment", "round=1", "index=2"]
    assert evaluation_trials(CONFIG)[0].purpose == Purpose.EVALUATION


def test_overlapping_seeds_are_rejected_because_held_out_would_be_seen():
    with pytest.raises(ConfigError, match=r"deployment_seed = 50000 and evaluation_seed = 50001 overlap"):
        SessionConfig(deployment_seed=50000, evaluation_seed=50001)


@pytest.mark.parametrize("file", ["session.yaml", "session_quick.yaml"])
def test_every_parameter_stands_in_the_file_with_a_comment(file):
    lines = (CONFIG_DIR / file).read_text().splitlines()
    assert set(read_ros_parameters(CONFIG_DIR / file, "session")) == set(parameter_fields(SessionConfig))
    for name in parameter_fields(SessionConfig):
        (number,) = (i for i, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
        assert "#" in lines[number] or lines[number - 1].strip().startswith("#")


def test_the_shipped_file_has_the_defaults():
    assert load(SessionConfig, CONFIG_DIR / "session.yaml", "session") == SessionConfig()


def test_timeouts_are_those_parameters_that_limit_a_wait():
    config = SessionConfig(start_timeout_s=1.0, answer_timeout_s=2.0, trial_timeout_s=3.0, training_timeout_s=4.0)
    assert config.timeouts() == {
        "start_timeout_s": 1.0,
        "answer_timeout_s": 2.0,
        "trial_timeout_s": 3.0,
        "training_timeout_s": 4.0,
    }
