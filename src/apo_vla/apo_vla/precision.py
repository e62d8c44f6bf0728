"""A model's number format."""

from __future__ import annotations

import torch
from torch import nn


def convert(model: nn.Module, dtype: torch.dtype) -> None:
    """Converts the parameters of a model, in place; those that its `stays_float32` names keep their type.

    Buffers keep theirs: rotary frequencies in bfloat16 would turn positions by up to a radian.
    """
    kept = getattr(model, "stays_float32", lambda name: False)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not kept(name):
            parameter.data = parameter.data.to(dtype)
