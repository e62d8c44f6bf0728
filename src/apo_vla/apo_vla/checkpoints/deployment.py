"""deployment.yaml beside a published checkpoint: the parameters that all families share, and how the file is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from apo_core.config.parameters import build, parameter
from apo_core.config.rcl_yaml import read_yaml
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.inputs.state_parts import part_faults

DEPLOYMENT = "deployment.yaml"


@dataclass(frozen=True)
class Deployment:
    """What a published checkpoint leaves open about the robot it drives; a family derives its own parameters from it.

    Raises:
        ConfigError: every value that cannot be used.
    """

    contract_sha256: str = parameter("", "hash of the robot's contract; `apo policy bind` writes it")
    period_s: float = parameter(0.2, "s between two actions of the data it was trained on", low=0.001, high=10.0)
    cameras: tuple[str, ...] = parameter((), "cameras of the contract, in the order the model takes its images")
    state: tuple[str, ...] = parameter(
        (), "state keys of the contract that make the proprioception, each as key or key:form"
    )
    action_scale: tuple[float, ...] = parameter((), "contract unit = scale * data unit + offset; empty: all 1")
    action_offset: tuple[float, ...] = parameter((), "see action_scale; empty: all 0")
    chunk: int = parameter(1, "actions predicted from one observation", low=1, high=256)

    def __post_init__(self) -> None:
        if faults := self.faults():
            raise ConfigError(DEPLOYMENT, faults)

    def faults(self) -> list[str]:
        """Everything wrong with the values; a family adds what is wrong with its own."""
        faults = []
        for name, values in (("action_scale", self.action_scale), ("action_offset", self.action_offset)):
            if not all(map(math.isfinite, values)) or (name == "action_scale" and not all(values)):
                must = "finite and not 0" if name == "action_scale" else "finite"
                faults.append(f"{name} = {list(values)} must be {must}")
        faults += part_faults(self.state)
        if len(set(self.cameras)) != len(self.cameras):
            faults.append(f"cameras = {list(self.cameras)} must differ")
        return faults

    @property
    def period_ns(self) -> int:
        """Time between two rows of a chunk, ns."""
        return round(self.period_s * 1e9)


D = TypeVar("D", bound=Deployment)


def foreign_faults(values: Mapping[str, Any], foreign: Mapping[str, Any], family: str) -> list[str]:
    """Parameters of other families that are set although this one does not have them, as faults.

    Args:
        values: {parameter: value}.
        foreign: {parameter: default} that only other families have; a value equal to the default is no fault.
        family: for messages.
    """
    return [
        f"{name} = {value!r} cannot be used with {family}: leave it out"
        for name, value in values.items()
        if name in foreign and value != foreign[name]
    ]


def read_deployment(folder: Path, kind: type[D], foreign: Mapping[str, Any], family: str) -> D:
    """Reads deployment.yaml.

    Args:
        folder: of the checkpoint.
        kind: parameters of the checkpoint's family.
        foreign, family: see `foreign_faults`.

    Raises:
        CheckpointError: there is no file, or it sets parameters of another family.
        ConfigError: every other fault in it.
    """
    path = Path(folder) / DEPLOYMENT
    if not path.exists():
        raise CheckpointError(
            f"{path} is missing: it describes the robot that the checkpoint drives; `apo policy bind {folder} --robot "
            "config/contract.yaml` writes one to edit"
        )
    data = read_yaml(path) or {}
    if not isinstance(data, dict):
        raise ConfigError(str(path), ["is not a mapping of keys"])
    if faults := foreign_faults(data, foreign, family):
        raise CheckpointError(f"{path}: {'; '.join(faults)}")
    return build(kind, {name: value for name, value in data.items() if name not in foreign}, str(path))
