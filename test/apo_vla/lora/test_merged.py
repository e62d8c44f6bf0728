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


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "of_tomorrow"])
def test_an_adapter_that_changed_its_base_is_rejected(folder, start):
    change(folder, init_lora_weights=start)
    with pytest.raises(AdapterError, match=f"init_lora_weights = '{start}' belongs to base weights that it changed"):
        MergedAdapter(folder, shapes(network()))


@pytest.mark.parametrize("start", [True, False, None, "gaussian", "eva", "orthogonal"])
def test_how_a_plain_adapter_began_does_not_matter(folder, start):
    change(folder, init_lora_weights=start)
    MergedAdapter(folder, shapes(network()))


def test_a_kind_of_adapter_of_tomorrow_is_rejected_by_name(folder):
    change(folder, use_twist=True, twist_config={"angle": 1})
    with pytest.raises(AdapterError, match=r"use_twist = True is not supported; twist_config"):
        MergedAdapter(folder, shapes(network()))


def test_an_adapter_that_waits_for_certain_tokens_is_rejected(folder):
    change(folder, alora_invocation_tokens=[1, 2])
    with pytest.raises(AdapterError, match=r"alora_invocation_tokens = \[1, 2\] is not supported"):
        MergedAdapter(folder, shapes(network()))


def test_the_rank_of_the_tensors_is_that_of_the_configuration(folder):
    change(folder, r=1)
    with pytest.raises(AdapterError, match=r"'0.weight' is of rank 2, adapter_config.json has r = 1"):
        MergedAdapter(folder, shapes(network()))


def wide_adapter(folder, base_layer=None):
    """Rank 2 for a layer of 64 x 64; with a copy of its base, if given."""
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "base_model.model.head.lora_A.weight": torch.randn(2, 64, generator=generator),
        "base_model.model.head.lora_B.weight": 0.1 * torch.randn(64, 2, generator=generator),
    }
    if base_layer is not None:
        tensors["base_model.model.head.base_layer.weight"] = base_layer
    save_file(tensors, folder / "adapter_model.safetensors")
    change(folder, r=2, lora_alpha=2)
    return MergedAdapter(folder, {"head.weight": (64, 64)})


def test_weights_that_hold_the_adapter_already_are_an_error(folder):
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(2))
    adapter = wide_adapter(folder)
    held = adapter.merge("head.weight", weight)
    adapter.check_not_held()
    again = wide_adapter(folder)
    again.merge("head.weight", held.to(torch.bfloat16))
    with pytest.raises(AdapterError, match=r"the checkpoint's weights hold this adapter already \(\d+% of it\)"):
        again.check_not_held()


def test_a_copy_of_the_base_is_accepted_where_it_equals_it(folder):
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(2)).to(torch.bfloat16)
    merged = wide_adapter(folder).merge("head.weight", weight)
    for copy in (weight, weight.float()):
        torch.testing.assert_close(wide_adapter(folder, copy).merge("head.weight", weight), merged)
    with pytest.raises(AdapterError, match=r"was trained on another base: its copy of 'head.weight' differs"):
        wide_adapter(folder, weight + 1).merge("head.weight", weight)
    with pytest.raises(AdapterError, match=r"'head.weight' has a copy \(63, 64\) of the base"):
        wide_adapter(folder, weight[1:].contiguous())


def test_another_kind_of_adapter_is_rejected(folder):
    change(folder, use_dora=True, bias="all", alpha_pattern={"0": 3})
    with pytest.raises(AdapterError, match=r"bias = 'all', must be 'none'; alpha_pattern.*; use_dora"):
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
    config = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text("[1]")
    with pytest.raises(AdapterError, match=r"adapter_config.json: is not a mapping of keys"):
        MergedAdapter(folder, shapes(network()))
    (folder / "adapter_config.json").write_text(config)
    (folder / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(AdapterError, match=r"cannot be read"):
        MergedAdapter(folder, shapes(network()))
