"""Parameters of an adapter's shape, the same for the trainer and for the policy that serves its adapters. No torch."""

from __future__ import annotations

from typing import Any

from apo_core.config.parameters import parameter


def rank(default: int = 32) -> Any:
    """Field `lora_rank` of a configuration."""
    return parameter(default, "rank of the adapter; the same where it is trained and where it serves", low=1, high=1024)


def alpha(default: float = 64.0) -> Any:
    """Field `lora_alpha` of a configuration."""
    return parameter(default, "alpha of the adapter, whose scale is alpha / rank", low=1e-3, high=4096.0)


def dropout(default: float = 0.0) -> Any:
    """Field `lora_dropout` of a configuration that trains."""
    return parameter(default, "dropout in front of the adapter", low=0.0, high=0.9)


def targets() -> Any:
    """Field `lora_targets` of a configuration."""
    return parameter(
        "",
        "regular expression over module names: layers that the adapter is of; empty: the linear layers of the language "
        "model (docs/how-to/training_runs.md has one with vision)",
    )
