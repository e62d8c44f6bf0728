"""Training methods: how a batch is drawn, and its loss.

A method is a file here and a line of `METHOD_CLASSES` in config.py. It may import the configuration, `data` and
`losses`; the training loop in `optimisation` is the same for all of them. Begin with method.py, then kto.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from apo_trainer.config import METHOD_CLASSES
from apo_trainer.methods.method import Method, Terms


def _load(path: str) -> type[Method]:
    module, name = path.split(".")
    return getattr(import_module(f"{__name__}.{module}"), name)


METHODS: Mapping[str, type[Method]] = {name: _load(path) for name, path in METHOD_CLASSES.items()}

__all__ = ["METHODS", "Method", "Terms"]
