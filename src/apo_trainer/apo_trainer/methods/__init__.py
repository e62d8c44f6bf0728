"""Training methods by name. A method is a file here: how a batch is drawn, and the loss."""

from __future__ import annotations

from collections.abc import Mapping

from apo_trainer.methods.apo import Apo
from apo_trainer.methods.apo_plus import ApoPlus
from apo_trainer.methods.apo_released import ApoReferenceCompat
from apo_trainer.methods.bc import BehaviourCloning
from apo_trainer.methods.dagger import Dagger
from apo_trainer.methods.dpo import Dpo
from apo_trainer.methods.kto import Kto
from apo_trainer.methods.method import Method, Terms
from apo_trainer.methods.sirius import Sirius
from apo_trainer.methods.tpo import Tpo

METHODS: Mapping[str, type[Method]] = {
    "apo": Apo,
    "apo_plus": ApoPlus,
    "apo_reference_compat": ApoReferenceCompat,
    "kto": Kto,
    "dpo": Dpo,
    "tpo": Tpo,
    "dagger": Dagger,
    "sirius": Sirius,
    "bc": BehaviourCloning,
    "sft": BehaviourCloning,  # the name it has among language models
}

__all__ = ["METHODS", "Method", "Terms"]
