"""The fused layer is PEFT's layer."""

import pytest
import torch
from torch import nn

from apo_vla.lora.adapter import LoraSettings, attach_lora
from apo_vla.lora.linear import LoraLinear, apply_linear


def layer(dropout=0.0, bias=False):
    """A linear layer 6 -> 4 with an adapter of rank 2 that is not zero."""
    torch.manual_seed(0)
    model = nn.Module()
    model.q_proj = nn.Linear(6, 4, bias=bias)
    attach_lora(model, LoraSettings(rank=2, alpha=6.0, dropout=dropout))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.q_proj.eval()


def fused(output) -> bool:
    """Whether the operation itself made this output."""
    return "LoraLinear" in str(output.grad_fn.next_functions[0][0].name())


X = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))


def test_values_and_gradients_are_peft_s():
    linear = layer()
    parameters = [linear.lora_A["default"].weight, linear.lora_B["default"].weight]
    results = []
    for function in (linear, lambda x: apply_linear(linear, x)):
        x = X.clone().requires_grad_()
        out = function(x)
        results.append((out, *torch.autograd.grad((out**2).sum(), [x, *parameters])))
    assert fused(apply_linear(linear, X))
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_gradients_are_right_in_float64():
    sizes = ((5, 6), (4, 6), (2, 6), (4, 2))
    tensors = [torch.randn(size, dtype=torch.float64) for size in sizes]
    inputs = [tensor.requires_grad_(i != 1) for i, tensor in enumerate(tensors)]
    assert torch.autograd.gradcheck(lambda x, w, a, b: LoraLinear.apply(x, w, a, b, 1.5), inputs)


def disabled(linear):
    linear.enable_adapters(False)
    return linear


def trained(linear):
    return linear.train()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(6, 4),
        lambda: layer(bias=True),
        lambda: disabled(layer()),
        lambda: trained(layer(dropout=0.5)),
    ],
    ids=["no adapter", "bias", "adapter disabled", "dropout"],
)
def test_any_other_layer_is_called_as_it_is(make):
    linear = make()
    torch.manual_seed(3)
    wanted = linear(X)
    torch.manual_seed(3)
    assert torch.equal(apply_linear(linear, X), wanted)


def test_dropout_counts_only_in_training():
    assert fused(apply_linear(layer(dropout=0.5), X))


def test_under_autocast_the_layer_decides_the_precision():
    linear = layer()
    with torch.autocast("cpu", torch.bfloat16):
        assert apply_linear(linear, X).dtype == torch.bfloat16
