"""Parameters of a comparison."""

from pathlib import Path

import pytest
import yaml

from apo_core.config.parameters import load, parameter_fields, parameter_values, read_ros_parameters
from apo_core.errors import ConfigError
from apo_episodes.reader import read_episode
from apo_experiments.compare.config import CompareConfig, check_episodes, trainer_configs

ROOT = Path(__file__).parents[3]
TASK = "Lift"  # of the episodes of the fixtures


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (
            "sarsa steps=3",
            "'sarsa' is none of apo, apo_plus, apo_reference_compat, kto, dpo, rpro, tpo, dagger, sirius, bc, sft",
        ),
        ("", "'' is none of apo, apo_plus, apo_reference_compat, kto, dpo, rpro, tpo, dagger, sirius, bc, sft"),
        ("kto steps=3", "'kto steps=3' is the second text of kto; write one a method"),
        ("apo", "'apo' has no NAME=VALUE"),
        ("apo steps", "apo: 'steps' must be NAME=VALUE"),
        ("apo steps=3 steps=4", "apo: 'steps=4' gives steps a second time"),
        (
            "apo seed=3",
            "apo: 'seed=3' must be the same for all methods, as must method, start_from, reference, episode_dir, "
            "expert_dir, adapter_dir, checkpoint_dir, run_dir, seed",
        ),
        *(
            (f"apo {name}=x", f"apo: '{name}=x' must be the same for all methods")
            for name in (
                "method",
                "start_from",
                "reference",
                "episode_dir",
                "expert_dir",
                "adapter_dir",
                "checkpoint_dir",
                "run_dir",
            )
        ),
        (
            "apo stepz=3",
            "apo: 'stepz=3' names no parameter of the trainer; known: steps, passes, min_steps, max_steps,",
        ),
        ("apo steps=[", "apo: 'steps=[' has a value that is not YAML: "),
    ],
)
def test_wrong_settings_of_a_method_are_rejected(entry, fault):
    with pytest.raises(ConfigError) as caught:
        CompareConfig(method_settings=("kto steps=9", entry))
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"method_settings: {fault}")
    assert caught.value.faults[0].endswith("(config/compare.yaml)")


def test_settings_are_checked_together_with_the_trainers_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # alone it would be below the default min_steps
    trainer = {"trainer": {"ros__parameters": {"min_steps": 5}}}
    Path("trainer.yaml").write_text(yaml.safe_dump(trainer))
    config = CompareConfig(trainer_file="trainer.yaml", method_settings=("apo max_steps=20",))
    assert trainer_configs(config, {})["apo"].training.max_steps == 20
    assert trainer_configs(config, {})["base"].training.max_steps == 200


def test_rows_can_only_be_paired_with_one_of_the_methods():
    with pytest.raises(ConfigError) as caught:
        CompareConfig(methods=("apo",))
    assert caught.value.faults == [
        "against = 'apo_plus' is none of methods = ['apo']; empty, no row is paired (config/compare.yaml)"
    ]
    assert CompareConfig(methods=("apo",), against="").against == ""


def test_evaluation_seeds_must_not_have_been_trained_on(interactions):
    paths = sorted(interactions.glob("*.h5"))
    seed = read_episode(paths[0], images=False).info.seed
    with pytest.raises(ConfigError, match=f"1 episodes to train on have an evaluation seed, the first {seed}"):
        check_episodes(paths, TASK, range(seed, seed + 1))
    check_episodes(paths, TASK, range(1, 5))


def test_episodes_of_another_task_are_rejected(interactions):
    paths = sorted(interactions.glob("*.h5"))
    with pytest.raises(ConfigError) as caught:
        check_episodes(paths, "Stack", range(1, 5))
    assert caught.value.faults == [
        f"task = 'Stack': {len(paths)} episodes to train on are of another task, the first {paths[0].name} ({TASK}) "
        "(config/compare.yaml)"
    ]


def test_recorded_evaluations_may_have_the_same_seeds(write_episode):
    path = write_episode("e", "PPP", tags={"purpose": "evaluation"})
    seed = read_episode(path, images=False).info.seed
    check_episodes([path], TASK, range(seed, seed + 1))


def test_wrong_methods_are_all_named():
    with pytest.raises(ConfigError) as caught:
        CompareConfig(methods=("apo", "sarsa", "apo"), against="sarsa")
    assert caught.value.faults == [
        "methods: 'sarsa' is none of apo, apo_plus, apo_reference_compat, kto, dpo, rpro, tpo, dagger, sirius, bc, sft "
        "(config/compare.yaml)",
        "methods = ['apo', 'sarsa', 'apo'] names one twice (config/compare.yaml)",
    ]


def test_recorded_settings_have_the_facts_of_the_task():
    settings = parameter_values(CompareConfig())
    assert (settings["task"], settings["horizon"], settings["success_hold_steps"]) == ("Lift", 100, 5)


def test_the_shipped_file_names_every_parameter():
    shipped = read_ros_parameters(ROOT / "config" / "compare.yaml", "compare")
    assert set(shipped) == set(parameter_fields(CompareConfig))
    assert load(CompareConfig, ROOT / "config" / "compare.yaml", "compare").against == "apo_plus"
