import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.weight_files import WeightFiles


@pytest.fixture
def folder(tmp_path):
    first, second = tmp_path / "model-00001-of-00002.safetensors", tmp_path / "model-00002-of-00002.safetensors"
    save_file({"0.weight": torch.full((2, 3), 0.5, dtype=torch.bfloat16), "0.bias": torch.ones(2)}, first)
    save_file({"1.weight": torch.full((1, 2), 2.0), "spare": torch.zeros(4)}, second)
    where = {"0.weight": first.name, "0.bias": first.name, "1.weight": second.name, "spare": second.name}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return tmp_path


def model() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))


def without_spare(name: str) -> str | None:
    return None if name == "spare" else name


def test_shards_fill_a_model_in_the_wanted_precision(folder):
    filled = model()
    WeightFiles(folder).fill(filled, "cpu", torch.float32, without_spare)
    assert {p.dtype for p in filled.parameters()} == {torch.float32}
    assert filled(torch.ones(1, 3)).item() == 2.0 * 2 * (1.5 + 1.0)


def test_a_single_file_needs_no_index(tmp_path):
    save_file({"weight": torch.ones(1, 1)}, tmp_path / "model.safetensors")
    assert WeightFiles(tmp_path).shapes == {"weight": (1, 1)}


def test_an_index_beside_a_single_file_is_ambiguous(folder):
    save_file({"weight": torch.ones(1, 1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"has both model.safetensors.index.json and model.safetensors"):
        WeightFiles(folder)


def test_shards_without_an_index_are_ambiguous(folder):
    (folder / "model.safetensors.index.json").unlink()
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"has model-00001-of-00002.safetensors without model.s"):
            WeightFiles(folder)
        save_file({"weight": torch.ones(1, 1)}, folder / "model.safetensors")


def test_tensors_of_other_precisions_are_compared_by_value(tmp_path):
    tensors = {"a": torch.tensor([0.5]), "b": torch.tensor([0.5], dtype=torch.bfloat16), "c": torch.tensor([0.1])}
    save_file(tensors, tmp_path / "model.safetensors")
    weights = WeightFiles(tmp_path)
    assert weights.equal("a", "b") and not weights.equal("b", "c")


def test_missing_unexpected_and_misshapen_tensors_are_all_named(folder):
    path = folder / "model-00002-of-00002.safetensors"
    save_file({"1.weight": torch.ones(2, 2), "spare": torch.zeros(4)}, path)
    with torch.device("meta"):
        other = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    wanted = r"'1.bias' is missing; 'spare' is unexpected; '1.weight' has shape \(2, 2\), the model \(1, 2\)"
    with pytest.raises(CheckpointError, match=wanted):
        WeightFiles(folder).fill(other, "cpu", torch.float32, lambda name: name)


def test_values_that_are_not_finite_are_rejected(folder):
    path = folder / "model-00001-of-00002.safetensors"
    tensors = load_file(path)
    tensors["0.bias"][1] = float("nan")
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"'0.bias' is not finite"):
        WeightFiles(folder).fill(model(), "cpu", torch.float32, without_spare)


def test_a_missing_shard_is_named(folder):
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors missing"):
        WeightFiles(folder)


def test_an_index_that_disagrees_with_its_shards_is_rejected(folder):
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["2.weight"] = "model-00001-of-00002.safetensors"
    del index["weight_map"]["spare"]
    path.write_text(json.dumps(index))
    with pytest.raises(
        CheckpointError, match=r"'2.weight' is in .*index.json, not in model-00001.*; 'spare' is not in"
    ):
        WeightFiles(folder)


def test_an_index_that_leads_out_of_the_folder_is_rejected(folder):
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"0.weight": "../model.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"are not plain file names"):
        WeightFiles(folder)


def test_a_truncated_shard_is_rejected(folder):
    path = folder / "model-00001-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002.safetensors: cannot be read"):
        WeightFiles(folder)


def test_the_hash_changes_with_any_file(folder):
    before, other = WeightFiles(folder).sha256(), folder / "adapter"
    assert before == WeightFiles(folder).sha256()
    other.write_text("one")
    with_other = WeightFiles(folder).sha256([other])
    other.write_text("two")
    assert len({before, with_other, WeightFiles(folder).sha256([other])}) == 3


def test_chosen_parameters_stay_float32_whatever_the_precision(folder):
    filled = model()
    files = WeightFiles(folder)
    files.fill(filled, "cpu", torch.bfloat16, without_spare, stays_float32=lambda name: name == "1.weight")
    types = {name: value.dtype for name, value in filled.named_parameters()}
    assert types == {"0.weight": torch.bfloat16, "0.bias": torch.bfloat16, "1.weight": torch.float32}
