"""Optimizers of an adapter: AdamW, and Muon, which needs about half the steps for the same held-out error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from apo_core.errors import ConfigError
from apo_trainer.config import TrainingConfig


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer of these parameters, as `config.optimizer` names it.

    Muon moves each matrix by its orthogonalised momentum, scaled to the size of AdamW's steps (arXiv 2502.16982).

    Raises:
        ConfigError: muon, and a parameter is no matrix.
    """
    values = list(parameters.values())
    if config.optimizer == "adamw":
        return torch.optim.AdamW(values, lr=config.learning_rate, weight_decay=config.weight_decay)
    others = [name for name, value in parameters.items() if value.ndim != 2]
    if others:
        shape = tuple(parameters[others[0]].shape)
        fault = (
            f"optimizer = muon trains matrices, and lora_targets = {config.lora.lora_targets!r} reaches {others[0]}, "
            f"of shape {shape}: set optimizer = adamw and learning_rate = 0.001, or other lora_targets"
        )
        raise ConfigError("config/trainer.yaml", [fault])
    return torch.optim.Muon(
        values, lr=config.learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )


def state_names(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """Names of the tensors that the optimizer keeps for each parameter."""
    return ("momentum_buffer",) if isinstance(optimizer, torch.optim.Muon) else ("exp_avg", "exp_avg_sq", "step")
