"""The trainer's parameters: the shipped file, faults, overrides, hash."""

from pathlib import Path

import pytest

from apo_core.config.parameters import build, parameter_fields, read_ros_parameters
from apo_core.errors import ConfigError
from apo_episodes.labeling import LabelRule
from apo_trainer.config import TrainerConfig, TrainingConfig, read_config, write_config

SHIPPED = Path(__file__).parents[2] / "config" / "trainer.yaml"


def write(tmp_path, text):
    path = tmp_path / "trainer.yaml"
    path.write_text("trainer:\n  ros__parameters:\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    return path


def test_the_shipped_file_names_every_parameter():
    assert set(read_ros_parameters(SHIPPED, "trainer")) == set(parameter_fields(TrainerConfig))
    assert read_config(SHIPPED).training.method == "apo_plus"


@pytest.mark.parametrize(
    ("config", "shares"), [(TrainingConfig(), (0.5, 0.25, 0.25)), (read_config(SHIPPED).training, (0.6, 0.3, 0.1))]
)
def test_default_shares_are_the_papers_and_shipped_ones_imitate_more(config, shares):
    assert (config.share_expert, config.share_human, config.share_undesirable) == shares
    assert config.label_rule == LabelRule(undesirable_steps=10)


def test_values_come_from_the_file_and_overrides_win(tmp_path):
    path = write(tmp_path, "steps: 7\nbatch_size: 4")
    config = read_config(path, {"steps": 9}).training
    assert (config.steps, config.batch_size) == (9, 4)


def test_every_fault_is_reported_at_once(tmp_path):
    path = write(tmp_path, "steps: -1\nmethod: sarsa\nbatchsize: 3")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert len(caught.value.faults) == 3
    assert str(path) in str(caught.value)


def test_shares_must_add_up(tmp_path):
    with pytest.raises(ConfigError, match=r"= 1\.25 must be 1"):
        read_config(write(tmp_path, "share_expert: 0.75"))


def test_a_run_starts_from_the_base_policy_or_from_what_serves():
    assert TrainingConfig().parent_of(3) == 3
    assert TrainingConfig(start_from="base").parent_of(3) == 0
    assert TrainingConfig().undesirable_of == "all"


def test_the_limits_of_the_number_of_steps_must_be_in_order(tmp_path):
    with pytest.raises(ConfigError, match="min_steps = 300 must not be above max_steps = 200"):
        read_config(write(tmp_path, "min_steps: 300"))


def test_the_hash_covers_the_method_and_not_the_place():
    base = TrainingConfig().sha256

    def changed(**values):
        return build(TrainerConfig, values, "test").training.sha256

    assert changed() == base
    assert changed(checkpoint_dir="elsewhere", niceness=3) == base
    for values in ({"learning_rate": 3e-4}, {"undesirable_steps": 3}, {"lora_rank": 4}):
        assert changed(**values) != base


@pytest.mark.parametrize(
    ("tracker", "names"),
    [("tensorboard", ("tensorboard",)), ("mlflow,tensorboard", ("mlflow", "tensorboard")), ("none", ())],
)
def test_trackers_are_named_in_a_line(tracker, names):
    assert TrainerConfig(tracker=tracker).trackers == names


@pytest.mark.parametrize("tracker", ["", "aim", "wandb, wandb", "none, wandb"])
def test_an_unknown_tracker_is_rejected(tracker):
    with pytest.raises(ConfigError) as caught:
        TrainerConfig(tracker=tracker)
    assert caught.value.faults == [
        f"tracker = {tracker!r} must be none, or some of tensorboard, mlflow, wandb, each once (config/trainer.yaml)"
    ]


def test_a_written_configuration_reads_back(tmp_path):
    values = {"steps": 3, "learning_rate": 1e-5, "episode_dir": "/somewhere", "undesirable_steps": 4, "lora_rank": 2}
    config = build(TrainerConfig, values, "test")
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config


def test_the_label_rule_has_every_parameter():
    values = {
        "undesirable_steps": 7,
        "undesirable_seconds": 0.5,
        "failure_rule": "keep",
        "undesirable_rule": "disagreement",
        "stall_tolerance": 0.01,
        "disagreement_tolerance": 0.2,
        "disagreement_steps": 3,
        "undesirable_max_steps": 20,
    }
    assert build(TrainingConfig, values, "test").label_rule == LabelRule(**values)
    assert TrainingConfig().label_rule == LabelRule()


def test_k_from_the_episodes_is_that_of_last_k(tmp_path):
    assert read_config(write(tmp_path, "k_from: stalled")).training.k_from == "stalled"
    with pytest.raises(ConfigError, match="k_from = 'stalled' needs undesirable_rule = 'last_k', not 'disagreement'"):
        read_config(write(tmp_path, "k_from: stalled\nundesirable_rule: disagreement"))


def test_a_base_policy_that_is_not_in_the_folder_is_the_shipped_one(tmp_path, monkeypatch):
    ament = pytest.importorskip("ament_index_python.packages", reason="no workspace is sourced: run 'make setup'")
    monkeypatch.chdir(tmp_path)
    assert read_config(SHIPPED).checkpoint_dir == ament.get_package_share_directory("apo_bringup") + "/models/lift_base"
    assert read_config(SHIPPED, {"checkpoint_dir": "absent"}).checkpoint_dir == "absent"
