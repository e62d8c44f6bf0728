"""config.json in LeRobot's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.deployment import DEPLOYMENT
from apo_vla.checkpoints.types import CONFIG

# {name: the one value that is served}: others change the space of actions and state
_UNSUPPORTED = {"use_relative_actions": False, "adapt_to_pi_aloha": False, "use_delta_joint_actions_aloha": False}
_ADAPTER = "adapter_config.json"


def read_settings(folder: Path) -> dict[str, Any]:
    """The content of config.json, which is there."""
    return json.loads((Path(folder) / CONFIG).read_text())


def whole_number(settings: Mapping[str, Any], name: str, default: int, source: Path) -> int:
    """A number of at least 1. Raises CheckpointError for anything else."""
    value = settings.get(name, default)
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{source}: {name} = {value!r} must be a whole number of at least 1")
    return value


def setting_faults(folder: Path, settings: Mapping[str, Any], unsupported: Mapping[str, Any]) -> list[str]:
    """Settings that change what the model computes in a way that is not served, as faults.

    Args:
        folder: of the checkpoint.
        settings: of config.json.
        unsupported: {name: the one value that is served} of a family, which also holds where config.json lacks the
            name or has null; those of all families are known.
    """
    faults = [
        f"{CONFIG}: {name} = {settings[name]!r} is not supported, must be {served!r}"
        for name, served in {**_UNSUPPORTED, **unsupported}.items()
        if settings.get(name) is not None and settings[name] != served
    ]
    if settings.get("use_peft") or (Path(folder) / _ADAPTER).exists():
        faults.append(
            f"{_ADAPTER} or use_peft ({CONFIG}): an adapter beside the weights would not be used; save the policy with "
            f"the adapter merged into them, without {_ADAPTER}"
        )
    return faults


def camera_features(settings: Mapping[str, Any]) -> list[str]:
    """Names of the images that a model takes, in its order; empty where config.json lists none.

    LeRobot's `empty_cameras` are placeholders for images that do not exist.
    """
    features = settings.get("input_features")
    features = features if isinstance(features, Mapping) else {}
    visual = [name for name, spec in features.items() if isinstance(spec, Mapping) and spec.get("type") == "VISUAL"]
    return [name for name in visual if ".empty_camera_" not in name]


def camera_faults(cameras: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """No cameras, or more than the model takes; with fewer it sees less than in training."""
    features = camera_features(settings)
    if not cameras:
        return ["cameras is empty"]
    if features and len(cameras) > len(features):
        return [
            f"cameras = {list(cameras)} are {len(cameras)}, the model takes {len(features)} "
            f"({CONFIG}, input_features: {', '.join(features)})"
        ]
    return []


def camera_notes(cameras: Sequence[str], settings: Mapping[str, Any], black: Sequence[int] = ()) -> list[str]:
    """Images of the training that the model does not receive.

    Args:
        cameras: contract names, in the model's order.
        settings: of config.json.
        black: places of the black images among the model's.
    """
    features = camera_features(settings)
    pictured = [name for place, name in enumerate(features) if place not in black]
    given = pictured[: len(cameras)]
    unseen = [name for name in features if name not in given]
    if not unseen:
        return []
    return [
        f"cameras = {list(cameras)} ({DEPLOYMENT}) stand for {', '.join(given)}; "
        f"the model was also trained with {', '.join(unseen)}"
    ]
