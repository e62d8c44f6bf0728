"""Precision of the matrix products; log-softmax and losses are always float32."""

from __future__ import annotations

import torch


def matrix_products(precision: str, device: torch.device) -> torch.autocast:
    """A context in which the model computes; `precision` is `float32` or `bfloat16`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
