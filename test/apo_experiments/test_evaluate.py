"""Measuring a policy alone from the command line."""

import json
from pathlib import Path

import pytest

from apo_core.errors import AdapterError, ConfigError
from apo_experiments.evaluate import choose_adapter, main, read_config, stage_text, summary
from apo_experiments.rollouts import RolloutResult

ROOT = Path(__file__).parents[2]


def test_without_a_store_the_base_policy_is_measured():
    assert choose_adapter(None, None) is None
    assert choose_adapter("anywhere", 0) is None
    with pytest.raises(AdapterError, match="--version 3 needs --adapters"):
        choose_adapter(None, 3)


def test_an_adapter_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(AdapterError, match="has no adapter 7"):
        choose_adapter(str(tmp_path), 7)
    with pytest.raises(AdapterError, match="has no adapter 0"):
        choose_adapter(str(tmp_path), None)


def test_the_summary_has_rate_and_interval():
    results = [RolloutResult(seed, seed < 9, 50) for seed in range(10)]
    assert summary(results) == "9 of 10 succeeded: 90.0%, 95 % interval 59.6% .. 98.2%"


def test_the_stages_count_trials_that_came_to_them_or_further():
    stages = ["", "grasped", "lifted", "lifted"]
    results = [RolloutResult(seed, False, 50, stage=stage) for seed, stage in enumerate(stages)]
    assert stage_text("Lift", results) == "stages reached: grasped 3, lifted 2"


def test_the_program_measures_the_shipped_base_policy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    output = tmp_path / "outcomes.json"
    options = ["--n", "1", "--seed", "7", "--output", str(output), "--set", "horizon=12", "workers=1"]
    assert main(options) == 0
    out = capsys.readouterr().out
    assert "stages reached: grasped 0, lifted 0" in out
    assert "0 of 1 succeeded" in out and "failures: 1 never closed the fingers" in out
    facts = json.loads(output.read_text())
    assert facts["outcomes"] == [[7, False, 12, "never closed the fingers", ""]] and facts["adapter"] == 0


def test_the_program_measures_in_a_perturbed_setting(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    output = tmp_path / "outcomes.json"
    perturbed = ["light_intensity=[0.4, 0.6]", "observation_delay_steps=[2, 2]"]
    options = ["--n", "1", "--seed", "7", "--output", str(output), "--set", "horizon=6", "workers=1", *perturbed]
    assert main(options) == 0
    assert "task Lift, light_intensity (0.4, 0.6), observation_delay_steps (2, 2)" in capsys.readouterr().out
    facts = json.loads(output.read_text())
    assert facts["perturbation"] == {"light_intensity": [0.4, 0.6], "observation_delay_steps": [2, 2]}
    assert main(["--set", "light_intensity=[2, 1]"]) == 2
    assert "light_intensity = (2.0, 1.0) must be (low, high)" in capsys.readouterr().err


def test_a_missing_adapter_ends_the_program_with_its_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["--adapters", str(tmp_path), "--version", "2"]) == 2
    assert "has no adapter 2" in capsys.readouterr().err


def test_parameters_come_from_the_file_of_the_comparison():
    config = read_config(ROOT / "config" / "compare.yaml", {"task": "Stack", "evaluation_episodes": 3})
    assert (config.rollout.task, config.rollout.horizon, config.rollout.success_hold_steps) == ("Stack", 300, 5)
    assert config.seeds == range(50_000, 50_003)
    with pytest.raises(ConfigError, match="training_seeds is not a parameter"):
        read_config(ROOT / "config" / "compare.yaml", {"training_seeds": 3})
