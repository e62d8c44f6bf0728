"""Training methods by name. A method is a file here: how a batch is drawn, and the loss."""

from __future__ import annotations

from collections.abc import Mapping

from apo_trainer.methods.apo import Apo
from apo_trainer.methods.bc import BehaviourCloning
from apo_trainer.methods.kto import Kto
from apo_trainer.methods.method import Method, Terms

METHODS: Mapping[str, type[Method]] = {
    "apo": Apo,
    "kto": Kto,
    "bc": BehaviourCloning,
}

__all__ = ["METHODS", "Method", "Terms"]
