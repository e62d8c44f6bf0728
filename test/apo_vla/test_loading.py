import dataclasses
import json

import pytest
import yaml

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.loading import FAMILIES, foreign_parameters, load_checkpoint, read_deployment, read_family


def named(name):
    return next(family for family in FAMILIES if family.name == name)


def published(folder, name, **deployment):
    (folder / "config.json").write_text(json.dumps({"model_type": name}))
    (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment))
    return folder


def test_families_differ_by_name():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_config_names_its_family(tmp_path, family):
    (tmp_path / "config.json").write_text(json.dumps({"type": family.name}))
    assert read_family(tmp_path) is family


def test_an_unknown_family_is_rejected_with_those_known(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"family": "act"}))
    known = "apo_small_vla, apo_small_flow, openvla, pi0_fast, smolvla, pi0, pi05"
    with pytest.raises(CheckpointError, match=f"unknown family 'act'; known: {known}"):
        load_checkpoint(tmp_path)


def test_parameters_of_other_families_are_foreign():
    foreign = foreign_parameters(named("pi0_fast"))
    assert foreign["statistics_key"] == "" and foreign["prompt_length"] == 64
    assert not {"cameras", "conventions"} & set(foreign)
    lerobot = {"conventions", "text_tokenizer", "action_tokenizer", "statistics", "flow_steps"}
    assert set(foreign_parameters(named("openvla"))) == lerobot


@pytest.mark.parametrize(("name", "foreign"), [("pi0_fast", "openvla"), ("openvla", "pi0_fast")])
def test_a_file_with_the_defaults_of_another_family_is_read(tmp_path, name, foreign):
    defaults = {spec.name: spec.default for spec in dataclasses.fields(named(foreign).deployment)}
    written = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    assert read_deployment(published(tmp_path, name, **written)) == named(name).deployment()


def test_a_parameter_of_another_family_is_rejected(tmp_path):
    folder = published(tmp_path, "pi0_fast", centre_crop=True, adapter="a")
    with pytest.raises(CheckpointError) as error:
        read_deployment(folder)
    for text in ("centre_crop = True", "adapter = 'a'"):
        assert f"{text} cannot be used with pi0-FAST: leave it out" in str(error.value)


def test_a_parameter_of_no_family_is_rejected(tmp_path):
    with pytest.raises(ConfigError, match="camera is not a parameter"):
        read_deployment(published(tmp_path, "openvla", camera=["a"]))


def test_the_small_vla_has_no_deployment(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"family": "apo_small_vla"}))
    assert read_deployment(tmp_path) is None
