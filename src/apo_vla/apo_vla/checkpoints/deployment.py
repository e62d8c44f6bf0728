"""deployment.yaml beside a published checkpoint: the parameters that all families share, and how the file is read."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from apo_core.config.parameters import build, parameter
from apo_core.config.rcl_yaml import read_yaml
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.inputs.camera_views import CHANNEL_ORDERS, CameraViews, view_faults
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
    orientation: tuple[str, ...] = parameter(
        (),
        "how each camera's picture is turned for the model, in the order of cameras: none, flip_vertical, mirror, "
        "rotate_180; empty: none of them",
    )
    crop: tuple[str, ...] = parameter(
        (),
        "part of each camera's picture that the model sees, before it is turned, in the order of cameras: none, square "
        "(the largest one in the middle), or 'TOP,LEFT,HEIGHT,WIDTH' as shares of 0..1; empty: none of them",
    )
    channel_order: str = parameter("rgb", "of the pictures that the model was trained with", choices=CHANNEL_ORDERS)
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
        faults += view_faults(self.cameras, self.orientation, self.crop)
        faults += part_faults(self.state)
        if len(set(self.cameras)) != len(self.cameras):
            faults.append(f"cameras = {list(self.cameras)} must differ")
        return faults

    @property
    def views(self) -> CameraViews:
        """The pictures that the model sees."""
        return CameraViews(self.cameras, self.orientation, self.channel_order, self.crop)

    @property
    def period_ns(self) -> int:
        """Time between two rows of a chunk, ns."""
        return round(self.period_s * 1e9)


D = TypeVar("D", bound=Deployment)


def conversion_sha256(statistics_sha256: str, deployment: Deployment) -> str:
    """Hash of all that converts between robot and model: an adapter belongs to the pictures that it was trained with.

    Args:
        statistics_sha256: of the statistics; the result where the model sees the contract's pictures as they are.
        deployment: with the convention of the pictures.
    """
    if deployment.views.is_plain:
        return statistics_sha256
    crop = [deployment.crop] if deployment.views.is_cropped else []
    text = json.dumps([statistics_sha256, deployment.orientation, deployment.channel_order, *crop])
    return hashlib.sha256(text.encode()).hexdigest()


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
