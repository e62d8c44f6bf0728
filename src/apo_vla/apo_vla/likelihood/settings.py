"""What a likelihood depends on beside the model, as parameters of the trainer. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter


@dataclass(frozen=True, slots=True)
class LikelihoodSettings:
    """How actions are scored; each kind of action head reads its own."""

    action_tolerance: float = parameter(
        2.0,
        "bins: how many off an action still counts 0.6 of the recorded one in its probability; 0: only bins of one "
        "value are one action",
        low=0.0,
        high=1000.0,
    )
    laplace_scale: float = parameter(
        0.05, "L1 head: b of log p = -|a - a'| / b - log 2b, normalised action units", low=1e-4, high=10.0
    )
    flow_draws: int = parameter(
        4, "flow head: draws of noise and time for each action, which policy and reference share", low=1, high=64
    )
    flow_scale: float = parameter(
        5.0, "flow head: nats of a number of the action for each unit of its squared velocity error", low=1e-3, high=1e4
    )
    flow_limit_scale: float = parameter(
        25.0,
        "flow head: times guard_undesirable_nats and gate_own_success_nats: its log-ratios are larger",
        low=1.0,
        high=1e4,
    )
