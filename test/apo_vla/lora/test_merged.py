import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from apo_core.errors import AdapterError
from apo_vla.lora.merged import MergedAdapter


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(), nn.Linear(32, 5))


@pytest.fixture
def folder(tmp_path):
    """An adapter that PEFT wrote, on a convolution and a linear layer."""
    settings = LoraConfig(r=2, lora_alpha=4, target_modules=["0", "2"], init_lora_weights=False)
    model = get_peft_model(network(), settings)
    model.save_pretrained(tmp_path)
    image = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        save_file({"image": image, "wanted": model(image)}, tmp_path / "example.safetensors")
    return tmp_path


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def change(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_merged_weights_compute_what_peft_computes(folder):
    model, example = network(), load_file(folder / "example.safetensors")
    adapter = MergedAdapter(folder, shapes(model))
    assert adapter.parameters == 2 * (3 * 16 + 8) + 2 * (32 + 5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(adapter.merge(name, value))
        torch.testing.assert_close(model(example["image"]), example["wanted"], rtol=0, atol=1e-5)


def test_a_weight_without_adapter_is_left_alone(folder):
    bias = torch.ones(5, dtype=torch.bfloat16)
    assert MergedAdapter(folder, shapes(network())).merge("2.bias", bias) is bias


def test_rank_stabilised_adapters_are_scaled_by_the_root_of_the_rank(folder):
    weight = torch.zeros(5, 32)
    plain = MergedAdapter(folder, shapes(network())).merge("2.weight", weight)
    change(folder, use_rslora=True)
    stabilised = MergedAdapter(folder, shapes(network())).merge("2.weight", weight)
    torch.testing.assert_close(stabilised, plain * 2**0.5)


def test_another_kind_of_adapter_is_rejected(folder):
    change(folder, use_dora=True, bias="all", alpha_pattern={"0": 3})
    with pytest.raises(AdapterError, match=r"bias = 'all', must be 'none'; use_dora.*; alpha_pattern"):
        MergedAdapter(folder, shapes(network()))


def test_tensors_that_do_not_fit_are_named(folder):
    other = shapes(network()) | {"2.weight": (6, 32)}
    del other["0.weight"]
    with pytest.raises(AdapterError, match=r"'0.weight' is not in the checkpoint; '2.weight' has A \(2, 32\)"):
        MergedAdapter(folder, other)


def test_half_a_pair_is_rejected(folder):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    del tensors["base_model.model.2.lora_B.weight"]
    save_file({**tensors, "base_model.model.extra": torch.ones(1)}, path)
    with pytest.raises(AdapterError, match=r"no LoRA tensors \['base_model.model.extra'\].*missing of \['2.weight'\]"):
        MergedAdapter(folder, shapes(network()))


def test_an_unreadable_adapter_is_rejected(folder):
    (folder / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(AdapterError, match=r"cannot be read"):
        MergedAdapter(folder, shapes(network()))
