"""The number format that a policy serves in, and whether this machine computes in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from apo_core.errors import ConfigError
from apo_vla.decoding.projections import int8_product, places

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_INT8_ROWS = 64  # sizes of an int8 weight are multiples of it: the packed product reads whole blocks
_LARGEST = 127


class Int8Linear(nn.Module):
    """A linear layer without bias whose rows are int8 with one scale each; what comes in and goes out is float.

    Args:
        weight: (out, in) float; each row is divided by a 127th of its largest magnitude and rounded.

    Raises:
        ValueError: a size that is no multiple of 64.
    """

    def __init__(self, weight: torch.Tensor):
        super().__init__()
        if any(size % _INT8_ROWS for size in weight.shape):
            raise ValueError(f"an int8 weight of shape {tuple(weight.shape)} must have multiples of {_INT8_ROWS}")
        self.out_features, self.in_features = weight.shape
        scale = weight.detach().float().abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
        rows = (weight.detach().float() / scale[:, None]).round().to(torch.int8)
        self.register_buffer("weight", rows)
        self.register_buffer("scale", scale.to(weight.dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return int8_product(x, self.weight, self.scale)


def dtype_of(precision: str) -> torch.dtype | None:
    """The type that a checkpoint is loaded in for a `precision` of `ServingSettings`; None: its own."""
    return _DTYPES.get(precision)


def check_precision(precision: str, device: str, source: str) -> None:
    """Rejects a format that this device does not compute in.

    Args:
        precision: one of `settings.PRECISIONS`.
        device: torch device.
        source: file to edit, for the message.

    Raises:
        ConfigError: names precision, device and what would do.
    """
    kind = torch.device(device).type
    if precision == "float32" or (precision == "float16" and kind == "cuda"):
        return
    if precision == "int8":
        fault = _int8_fault(device)
    else:
        fault = "" if _HAS[kind, precision]() else "it has no instructions for it"
    if fault:
        raise ConfigError(source, [f"precision = {precision!r} cannot be used on device {device!r}: {fault}"])


def quantise_linears(model: nn.Module) -> None:
    """Makes the linear modules of a LlamaModel int8; LoRA stays in float beside them.

    Raises:
        ValueError: a size that int8 cannot have.
    """
    for layer in model.layers:
        for owner, name in places(layer):
            if isinstance(getattr(owner, name), LoraLayer):
                owner, name = getattr(owner, name), "base_layer"
            setattr(owner, name, Int8Linear(getattr(owner, name).weight))


def _int8_fault(device: str) -> str:
    """Why a small product in int8 does not come out right, empty if it does."""
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(64, 64, generator=generator), torch.randn(1, 64, generator=generator)
    try:
        dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        found = Int8Linear(weight.to(device, dtype))(x.to(device, dtype)).float().cpu()
    except (RuntimeError, AssertionError, AttributeError, NotImplementedError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "" if torch.allclose(found, x @ weight.t(), atol=0.5) else "its int8 product is wrong"


def _cpu_has(*names: str) -> Callable[[], bool]:
    return lambda: any(getattr(torch.cpu, name, bool)() for name in names)


_HAS: Mapping[tuple[str, str], Callable[[], bool]] = {
    ("cpu", "bfloat16"): _cpu_has("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
    ("cpu", "float16"): _cpu_has("_is_amx_fp16_supported"),
    ("cuda", "bfloat16"): lambda: torch.cuda.is_bf16_supported(including_emulation=False),
}
