"""Weights of a file in 8 bits: a scale for each row, symmetric, rounded to nearest (arXiv 1712.05877, section 2.1).

Half the bytes of float16; in memory the weights are floating-point numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"  # ends the name of the scales of a weight
_LARGEST = 127


def to_int8(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels as int8 with float32 scales (rows,) beside them; vectors as float16.

    Args:
        weights: floating-point tensors by name, finite.
    """
    packed: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.ndim < 2:
            packed[name] = value.to(torch.float16).contiguous()
            continue
        rows = value.float().flatten(1)
        # a row of zeros has any scale
        scale = (rows.abs().amax(1) / _LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
        packed[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(value.shape).contiguous()
        packed[name + SCALE] = scale
    return packed


def from_int8(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a file; those that are not int8 stay as they are.

    Raises:
        ValueError: an int8 weight without scales of its rows, or scales that are not finite.
    """
    weights = {name: value for name, value in packed.items() if not name.endswith(SCALE)}
    for name, value in weights.items():
        if value.dtype != torch.int8:
            continue
        scale = packed.get(name + SCALE)
        if scale is None or scale.shape != value.shape[:1] or not torch.isfinite(scale).all():
            raise ValueError(f"{name} is int8 and needs {name + SCALE}: finite, a number for each of its rows")
        weights[name] = value.float() * scale.float().reshape(-1, *[1] * (value.ndim - 1))
    return weights
