import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from apo_vla.decoding.projections import bound_layer, linears, merged_layer, project, state_of
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters

HEADS = 2


@pytest.fixture
def layer() -> torch.nn.Module:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": HEADS}
    model = LlamaModel(LlamaConfig(vocab_size=8, **shape))
    attach_lora(model, LoraSettings(rank=2, alpha=4.0))
    with torch.no_grad():
        for value in lora_parameters(model).values():
            value.normal_()
    return model.layers[0].requires_grad_(False)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [lambda layer: merged_layer(layer, HEADS), bound_layer], ids=["merged", "bound"])
def test_one_product_is_those_of_its_linear_layers(layer, x, make):
    q, k, v, out, gate, up, down = linears(layer)
    wanted = torch.cat([q(x), k(x), v(x)], dim=-1), torch.cat([gate(x), up(x)], dim=-1), out(x)
    made = make(layer)
    for projection, expected in zip((made.qkv, made.gate_up, made.out), wanted, strict=True):
        torch.testing.assert_close(project(x, projection), expected, rtol=1e-4, atol=1e-4)
    inner = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(project(inner, made.down), down(inner), rtol=1e-4, atol=1e-4)


def test_turned_rows_are_the_rotation_of_queries_and_keys(layer, x):
    found = project(x, merged_layer(layer, HEADS).qkv_turned)
    q, turned_q = found[..., :16], found[..., 48:64]
    low, high = q.unflatten(-1, (HEADS, 8)).chunk(2, dim=-1)
    torch.testing.assert_close(turned_q, torch.cat([-high, low], dim=-1).flatten(-2))


def test_a_bound_layer_follows_values_written_in_place(layer, x):
    bound, q = bound_layer(layer), linears(layer)[0]
    q.lora_B["default"].weight.data.zero_()
    q.base_layer.weight.data.mul_(2.0)
    torch.testing.assert_close(project(x, bound.qkv)[..., :16], q(x), rtol=1e-4, atol=1e-4)


def test_binding_again_moves_nothing(layer):
    bound_layer(layer)
    addresses = [value.data_ptr() for value in layer.parameters()]
    bound_layer(layer)
    assert [value.data_ptr() for value in layer.parameters()] == addresses


def test_a_state_changes_with_a_value_or_with_the_address_alone(layer):
    q = linears(layer)[0]
    values, addresses = state_of(q, values=True), state_of(q, values=False)
    q.lora_A["default"].weight.data = q.lora_A["default"].weight.data  # the same storage
    assert state_of(q, values=False) == addresses
    with torch.no_grad():
        q.lora_A["default"].weight.add_(1.0)
    assert state_of(q, values=True) != values and state_of(q, values=False) == addresses
    q.enable_adapters(False)
    assert state_of(q, values=False) != addresses


def test_adapters_of_one_product_need_one_scale(layer):
    layer.self_attn.k_proj.scaling["default"] = 7.0
    with pytest.raises(ValueError, match="must have one scale"):
        bound_layer(layer)


def test_an_adapter_merged_in_place_is_rejected(layer):
    layer.self_attn.q_proj.merge()
    for make in (bound_layer, lambda layer: merged_layer(layer, HEADS)):
        with pytest.raises(ValueError, match="an adapter was merged in place"):
            make(layer)
