"""The stages of a run: imitation of desirable steps with some layers of the adapter, then the method with the others.

Vision that misjudges where things are gets its gradient from imitation; preference moves the likelihood of actions that
the policy distinguishes already. One adapter holds both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from apo_core.errors import ConfigError
from apo_trainer.config import TrainingConfig
from apo_trainer.optimisation.learning_rates import learning_rate


class TrainingStages:
    """Which stage a step belongs to, what it trains, and at which rate.

    Args:
        parameters: of the adapter, by their names in the model.
        config: imitation_steps, imitation_targets, and those of the learning rate.
        steps: optimizer steps of the second stage.

    Raises:
        ConfigError: a stage has no layer of the adapter.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], config: TrainingConfig, steps: int):
        self._config, self._imitation_steps, self._method_steps = config, config.imitation_steps, steps
        self._trained = {True: list(parameters.values()), False: list(parameters.values())}
        pattern = config.imitation_targets
        if not (config.imitation_steps and pattern):
            return
        layers = {name: _layer(name) for name in parameters}
        for imitates in (True, False):
            chosen = [name for name in parameters if bool(re.fullmatch(pattern, layers[name])) is imitates]
            if not chosen:
                raise ConfigError("config/trainer.yaml", [_fault(config, imitates, sorted(set(layers.values())))])
            self._trained[imitates] = [parameters[name] for name in chosen]

    @property
    def steps(self) -> int:
        """Optimizer steps of both stages."""
        return self._imitation_steps + self._method_steps

    def imitates(self, step: int) -> bool:
        """Whether step `step` (from 0) is of the first stage."""
        return step < self._imitation_steps

    def parameters(self, step: int) -> list[nn.Parameter]:
        """What step `step` changes."""
        return self._trained[self.imitates(step)]

    def learning_rate(self, step: int) -> float:
        """Rate of step `step`; each stage has a warmup and a decay of its own."""
        if self.imitates(step):
            return learning_rate(step, self._config, self._imitation_steps)
        return learning_rate(step - self._imitation_steps, self._config, self._method_steps)

    def begin(self, step: int) -> None:
        """Lets gradients reach only what step `step` trains."""
        trained = {id(parameter) for parameter in self.parameters(step)}
        for parameter in {id(p): p for stage in self._trained.values() for p in stage}.values():
            parameter.requires_grad_(id(parameter) in trained)
            parameter.grad = None  # an optimizer passes over it


def _layer(parameter: str) -> str:
    return parameter.split(".lora_")[0]


def _fault(config: TrainingConfig, imitates: bool, layers: list[str]) -> str:
    what, stage = ("none", "imitation") if imitates else ("all", "the method")
    return (
        f"imitation_targets = {config.imitation_targets!r} matches {what} of the adapter's {len(layers)} layers, so "
        f"that {stage} has nothing to train; the layers (lora_targets = {config.lora.lora_targets!r}) are "
        f"{layers[:8]} ..."
    )
