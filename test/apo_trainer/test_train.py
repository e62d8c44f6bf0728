"""The options of the training program."""

import json

import pytest
import yaml

from apo_trainer import train
from apo_trainer.config import read_config


@pytest.fixture
def config_file(tmp_path):
    """A parameter file that names folders without anything in them."""
    folders = {name: str(tmp_path / name) for name in ("episode_dir", "expert_dir", "adapter_dir")}
    path = tmp_path / "trainer.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"ros__parameters": {**folders, "niceness": 0, "threads": 1}}}))
    return path


def test_parameters_may_be_set_one_option_each_or_several_at_once(config_file, tmp_path):
    options = ["--config", str(config_file), "--run-dir", str(tmp_path / "run")]
    train.main([*options, "--set", "steps=3", "--set", "batch_size=4", "beta=0.25"])
    config = read_config(tmp_path / "run" / "config.yaml")
    assert (config.training.steps, config.training.batch_size, config.training.beta) == (3, 4, 0.25)


def test_options_beside_resume_are_rejected(capsys):
    with pytest.raises(SystemExit) as exit_:
        train.main(["--resume", "runs/training/one", "--steps", "80"])
    assert exit_.value.code == 2
    assert "--resume takes no other option" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(config_file, tmp_path, checkpoint):
    options = ["--config", str(config_file), "--run-dir", str(tmp_path / "run"), "--checkpoint", str(checkpoint)]
    assert train.main([*options, "--set", "device=cuda:63"]) == 2
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "device = 'cuda:63' cannot be used" in result["message"]


def message_of(tmp_path) -> str:
    return json.loads((tmp_path / "run" / "result.json").read_text())["message"]


def test_without_data_the_folders_are_named(config_file, tmp_path, checkpoint):
    (tmp_path / "expert_dir").mkdir()
    options = ["--config", str(config_file), "--run-dir", str(tmp_path / "run"), "--checkpoint", str(checkpoint)]
    assert train.main(options) == 2
    message = message_of(tmp_path)
    assert f"episode_dir = {tmp_path / 'episode_dir'} does not exist" in message
    assert f"expert_dir = {tmp_path / 'expert_dir'} has 0 episode files" in message


def test_when_every_file_is_rejected_the_first_reason_is_reported(
    config_file, tmp_path, checkpoint, write_episode, contract_of_rate
):
    for name in ("a", "b"):
        write_episode(name, "PPPHH", contract=contract_of_rate(10.0), directory=tmp_path / "episode_dir")
    options = ["--config", str(config_file), "--run-dir", str(tmp_path / "run"), "--checkpoint", str(checkpoint)]
    assert train.main(options) == 2
    first = tmp_path / "episode_dir" / "a.h5"
    assert f"2 rejected, the first: {first}: recorded under contract" in message_of(tmp_path)


def test_k_may_come_from_the_episodes(arguments, tmp_path):
    assert train.main(arguments(k_from="disagreement", steps=2)) == 0
    data = json.loads((tmp_path / "run" / "result.json").read_text())["data"]
    # PPPPPHHH: policy and operator part from the start
    assert data["label_rule"]["undesirable_steps"] == 5
    assert data["k_fit"]["number"] == 8
    assert data["undesirable_windows"]["rule"] == "last_k"
    assert data["undesirable_windows"]["max_steps"] == 5
