import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.types import read_manifest, write_manifest
from apo_vla.families.small_vla.checkpoint import save_checkpoint
from apo_vla.loading import load_checkpoint
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters
from apo_vla.policy import VlaPolicy


@pytest.fixture
def folder(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics):
    save_checkpoint(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics, {"task": "Lift"})
    return tmp_path


def change(folder, name, edit):
    """Edits a file of a checkpoint and makes its manifest agree."""
    path = folder / name
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    write_manifest(folder, {})


def change_weights(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors")
    write_manifest(folder, {})


def test_what_was_saved_is_loaded(folder, tiny_model):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.manifest["task"] == "Lift"
    assert checkpoint.model.config == tiny_model.config and not checkpoint.model.training
    for name, value in tiny_model.state_dict().items():
        loaded = checkpoint.model.state_dict()[name]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, value.half().float())
    assert load_file(folder / "model.safetensors")["action_head.weight"].dtype == torch.float16


def test_a_loaded_policy_acts_as_base_with_an_adapter_attached(folder, observation):
    plain, adapted = VlaPolicy.load(folder, lora=None), VlaPolicy.load(folder, lora=LoraSettings(rank=4))
    assert len(lora_parameters(adapted.model)) == 28 and not lora_parameters(plain.model)
    np.testing.assert_array_equal(adapted.predict(observation()).log_probs, plain.predict(observation()).log_probs)
    sha256 = read_manifest(folder)["sha256"]
    assert adapted.base_sha256 == sha256["model.safetensors"]
    assert adapted.statistics_sha256 == sha256["dataset_statistics.json"]
    assert adapted.contract_sha256 == "c0ffee"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "dataset_statistics.json"])
def test_a_changed_file_is_rejected(folder, name):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} differ from sha256 in manifest.json"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} missing"):
        load_checkpoint(folder)


def test_a_damaged_manifest_is_rejected(folder):
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"manifest.json: cannot be read \(KeyError"):
        load_checkpoint(folder)


def test_weights_must_agree_by_name_and_shape(folder):
    def damage(weights):
        weights["action_head.bias"] = torch.zeros(256)
        del weights["language_model.norm.weight"]
        weights["action_head.weight"] = weights["action_head.weight"][:255].clone()

    change_weights(folder, damage)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    message = str(error.value)
    assert "'language_model.norm.weight' is missing" in message
    assert "'action_head.bias' is unknown" in message
    assert "'action_head.weight' has shape (255, 32), config.json has (256, 32)" in message


def test_files_must_agree_with_each_other(folder):
    change(folder, "dataset_statistics.json", lambda data: data["state"].pop("gripper_width"))
    with pytest.raises(CheckpointError, match=r"dataset_statistics.json has state \('ee_pose',\)"):
        load_checkpoint(folder)


def test_an_impossible_shape_is_rejected(folder):
    change(folder, "config.json", lambda data: data.update(heads=5))
    with pytest.raises(CheckpointError, match="heads = 5"):
        load_checkpoint(folder)


def test_an_adapted_model_is_not_saved_as_a_base(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics):
    attach_lora(tiny_model, LoraSettings(rank=4))
    with pytest.raises(ValueError, match="adapter store"):
        save_checkpoint(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics, {})


def test_a_file_that_cannot_be_written_is_named(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        save_checkpoint(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics, {})


def test_weights_beyond_half_precision_are_not_saved(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics):
    with torch.no_grad():
        tiny_model.action_head.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"action_head\.weight"):
        save_checkpoint(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics, {})
    save_checkpoint(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics, {}, dtype=torch.bfloat16)
    assert load_checkpoint(tmp_path).manifest["sha256"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_unreadable_file_is_named(folder, name):
    (folder / name).write_text("[")
    write_manifest(folder, {})
    with pytest.raises(CheckpointError, match=f"{name}: cannot be read"):
        load_checkpoint(folder)


def test_a_tokenizer_beyond_the_vocabulary_is_rejected(folder):
    change(folder, "tokenizer.json", lambda data: data["model"]["vocab"].update({f"w{i}": 100 + i for i in range(32)}))
    with pytest.raises(CheckpointError, match=r"tokenizer.json has \d+ tokens, config.json 32"):
        load_checkpoint(folder)


def test_an_error_of_the_program_is_not_a_checkpoint_error(folder, monkeypatch):
    def broken(*_):
        raise RuntimeError("a mistake")

    monkeypatch.setattr("apo_vla.families.small_vla.checkpoint.load_file", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        load_checkpoint(folder)


def test_weights_in_8_bits_take_half_the_bytes(folder, tmp_path, tiny_model, tiny_tokenizer, tiny_statistics):
    save_checkpoint(tmp_path / "int8", tiny_model, tiny_tokenizer, tiny_statistics, {}, torch.int8)
    loaded = load_checkpoint(tmp_path / "int8").model.state_dict()
    sizes = [(path / "model.safetensors").stat().st_size for path in (tmp_path / "int8", folder)]
    assert sizes[0] < 0.7 * sizes[1]
    for name, value in tiny_model.state_dict().items():
        step = value.abs().max() / 127
        assert (loaded[name] - value).abs().max() <= max(0.51 * step, 1e-3 * value.abs().max()), name


def test_8_bits_without_their_scales_are_rejected(folder):
    def edit(weights):
        name = next(name for name, value in weights.items() if value.ndim == 2)
        weights[name] = weights[name].to(torch.int8)

    change_weights(folder, edit)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read .* needs .*\.scale"):
        load_checkpoint(folder)
