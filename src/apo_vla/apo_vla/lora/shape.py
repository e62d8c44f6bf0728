"""Shape of an adapter, as parameters of the trainer and of the policy node that serves its adapters. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter


@dataclass(frozen=True, slots=True)
class LoraShape:
    """What an adapter's tensors mean; it must be the same where an adapter is trained and where it serves."""

    lora_rank: int = parameter(
        32, "rank of the adapter; the same where it is trained and where it serves", low=1, high=1024
    )
    lora_alpha: float = parameter(64.0, "alpha of the adapter, whose scale is alpha / rank", low=1e-3, high=4096.0)
    lora_targets: str = parameter(
        "",
        "regular expression over module names: layers that the adapter is of; empty: the linear layers of the language "
        "model (docs/how-to/training_runs.md has one with vision)",
    )
