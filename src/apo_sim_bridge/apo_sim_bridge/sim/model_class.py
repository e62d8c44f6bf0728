"""Finds the environment class of a task, in robosuite, in this package, or in a user's installation of mimicgen."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import pkgutil
import sys
from types import ModuleType
from typing import Any

MIMICGEN = "mimicgen"
_OLD_BASE = "robosuite.environments.manipulation.single_arm_env"  # module of robosuite 1.4 that mimicgen imports
_CURE = (
    "pip install git+https://github.com/NVlabs/mimicgen.git (NVIDIA's licence: research only), or choose the task of "
    "the same kind that needs no further package"
)


def is_mimicgen(model: str) -> bool:
    """Whether a model `module:class` is of the package mimicgen."""
    return model.partition(":")[0] == MIMICGEN


def model_class(model: str) -> Any:
    """The class that a task's `model` names; robosuite must be importable.

    Raises:
        RuntimeError: mimicgen is not installed, or has no such environment.
    """
    return _mimicgen_class(model.partition(":")[2]) if is_mimicgen(model) else pkgutil.resolve_name(model)


def _mimicgen_class(name: str) -> Any:
    from robosuite.environments.base import REGISTERED_ENVS

    if name not in REGISTERED_ENVS:
        report = _import_mimicgen(name)
        if name not in REGISTERED_ENVS:
            raise RuntimeError(f"the package mimicgen has no environment {name}: {report or 'it reports nothing'}")
    return REGISTERED_ENVS[name]


def _import_mimicgen(name: str) -> str:
    """Imports the package, which registers its environments; returns what it printed, such as a failed import."""
    if importlib.util.find_spec(MIMICGEN) is None:
        raise RuntimeError(f"the environment {name} needs the package mimicgen: {_CURE}")
    if importlib.util.find_spec(_OLD_BASE) is None:
        sys.modules.setdefault(_OLD_BASE, _stand_in())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            importlib.import_module(MIMICGEN)
        except ImportError as error:
            raise RuntimeError(f"the package mimicgen cannot be imported: {error}") from error
    return " ".join(printed.getvalue().split())


def _stand_in() -> ModuleType:
    """robosuite 1.5 has no base class for one arm: its successor, without the argument that was renamed."""
    from robosuite.environments.manipulation.manipulation_env import ManipulationEnv

    class SingleArmEnv(ManipulationEnv):
        def __init__(self, *arguments: Any, mount_types: Any = None, **settings: Any):
            super().__init__(*arguments, **settings)

    module = ModuleType(_OLD_BASE)
    module.__dict__["SingleArmEnv"] = SingleArmEnv
    return module
