import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from apo_core.errors import ConfigError
from apo_vla.lora.adapter import LoraSettings, attach_lora
from apo_vla.serving.quantization import Int8Linear, check_precision, quantise_linears


def llama(hidden: int = 64) -> LlamaModel:
    return LlamaModel(
        LlamaConfig(
            vocab_size=8,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )


def test_rows_are_rounded_to_a_127th_of_their_largest_number():
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    linear = Int8Linear(weight)
    assert linear.weight.dtype == torch.int8 and linear.weight.abs().amax(dim=1).tolist() == [127] * 64
    restored = linear.weight * linear.scale[:, None]
    assert ((restored - weight).abs() <= weight.abs().amax(dim=1, keepdim=True) / 254 + 1e-6).all()


def test_many_rows_are_multiplied_by_the_restored_weights():
    generator = torch.Generator().manual_seed(1)
    linear, x = Int8Linear(torch.randn(64, 64, generator=generator)), torch.randn(40, 64, generator=generator)
    torch.testing.assert_close(linear(x), x @ (linear.weight * linear.scale[:, None]).T, rtol=1e-4, atol=1e-4)


def test_a_row_of_zeros_stays_zero():
    assert Int8Linear(torch.zeros(64, 64))(torch.ones(40, 64)).tolist() == [[0.0] * 64] * 40


def test_sizes_are_multiples_of_64():
    with pytest.raises(ValueError, match=r"shape \(64, 32\) must have multiples of 64"):
        Int8Linear(torch.zeros(64, 32))
    with pytest.raises(ValueError, match="multiples of 64"):
        quantise_linears(llama(32))


def test_an_adapter_stays_beside_the_int8_weights():
    model = llama()
    attach_lora(model, LoraSettings(rank=2))
    quantise_linears(model)
    layer = model.layers[0]
    for linear in (layer.self_attn.q_proj, layer.mlp.down_proj):
        assert isinstance(linear.base_layer, Int8Linear) and isinstance(linear.lora_A["default"], nn.Linear)
    plain = llama()
    quantise_linears(plain)
    assert isinstance(plain.layers[0].self_attn.o_proj, Int8Linear)


def test_float32_is_computed_everywhere():
    check_precision("float32", "cpu", "here")


def test_a_format_without_instructions_names_the_precision(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_fp16_supported", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="precision = 'float16' cannot be used on device 'cpu': it has no instr"):
        check_precision("float16", "cpu", "here")


def test_an_int8_product_that_fails_is_reported(monkeypatch):
    def broken(*_):
        raise RuntimeError("no kernel\nmore")

    monkeypatch.setattr("apo_vla.serving.quantization.int8_product", broken)
    with pytest.raises(ConfigError, match=r"precision = 'int8' cannot be used .*: RuntimeError: no kernel$"):
        check_precision("int8", "cpu", "here")
