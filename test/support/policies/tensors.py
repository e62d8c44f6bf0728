"""Literals as tensors."""

import torch


def tensor(*values: float, grad: bool = False) -> torch.Tensor:
    """(n,) float32."""
    return torch.tensor(values, dtype=torch.float32, requires_grad=grad)


def flags(*values: bool) -> torch.Tensor:
    """(n,) bool."""
    return torch.tensor(values, dtype=torch.bool)
