import json

import pytest
import torch

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.types import HASHED_FILES, load_weights, read_family_name, read_manifest, write_manifest


@pytest.fixture
def folder(tmp_path):
    for name in HASHED_FILES:
        (tmp_path / name).write_text(json.dumps({"file": name}))
    write_manifest(tmp_path, {"task": "Lift"})
    return tmp_path


def test_a_manifest_holds_facts_and_a_hash_of_each_file(folder):
    manifest = read_manifest(folder)
    assert manifest["task"] == "Lift" and set(manifest["sha256"]) == set(HASHED_FILES)
    assert len({len(value) for value in manifest["sha256"].values()}) == 1


@pytest.mark.parametrize("name", HASHED_FILES)
def test_each_changed_file_is_named(folder, name):
    (folder / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{name} differ from sha256 in manifest.json"):
        read_manifest(folder)


def test_a_file_without_a_hash_is_an_error(folder):
    data = json.loads((folder / "manifest.json").read_text())
    del data["sha256"]["config.json"]
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"manifest.json: cannot be read \(KeyError"):
        read_manifest(folder)


@pytest.mark.parametrize("key", ["family", "model_type", "type"])
def test_the_family_stands_under_one_of_three_names(tmp_path, key):
    (tmp_path / "config.json").write_text(json.dumps({key: "x", "hidden": 1}))
    assert read_family_name(tmp_path) == "x"


def test_a_config_without_a_family_is_rejected(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="names no family"):
        read_family_name(tmp_path)


def test_a_damaged_config_beside_a_manifest_is_a_changed_file(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config.json differ from sha256"):
        read_family_name(folder)


def test_weights_must_be_finite(tiny_model):
    weights = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    weights["action_head.weight"][0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"here: 'action_head.weight' is not finite"):
        load_weights(tiny_model, weights, "here")
    assert torch.isfinite(tiny_model.action_head.weight).all()
