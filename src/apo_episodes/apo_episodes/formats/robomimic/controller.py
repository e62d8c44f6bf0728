"""robosuite's controller of the arm, as env_args describe it: what an action of 1 stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# robosuite's OSC_POSE: largest step of a tick
POSITION_STEP_M = 0.05
ROTATION_STEP_RAD = 0.5
CONTROL_RATE_HZ = 20.0
_AXES = 6


def read_controller(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arm's controller of robosuite 1.4 (one) or 1.5 (composite); empty where the file has none.

    Args:
        kwargs: `env_kwargs` of the file.
    """
    controller = kwargs.get("controller_configs") or {}
    controller = controller[0] if isinstance(controller, Sequence) else controller
    parts = controller.get("body_parts") or {}
    arm = parts.get("right") or parts.get("arms", {}).get("right")
    return arm or ({} if parts else controller)


def largest_step(controller: Mapping[str, Any]) -> np.ndarray:
    """What an action of 1 stands for, float64 (6,): m and rad a step.

    Raises:
        ValueError: actions that are no OSC_POSE deltas, or whose range is another one than -1..1 for -step..step.
    """
    kind = controller.get("type", "OSC_POSE")
    if kind != "OSC_POSE":
        raise ValueError(f"its controller is {kind}, only OSC_POSE deltas can become velocities")
    if controller.get("control_delta") is False or controller.get("input_type") == "absolute":
        raise ValueError("its actions are absolute poses, only OSC_POSE deltas can become velocities")
    usual = [POSITION_STEP_M] * 3 + [ROTATION_STEP_RAD] * 3
    step = _axes(controller, "output_max", usual)
    for name, must in (("output_min", -step), ("input_max", np.ones(_AXES)), ("input_min", -np.ones(_AXES))):
        if name in controller and not np.allclose(_axes(controller, name, must), must):
            raise ValueError(f"its controller has {name} = {controller[name]}, must be {must.tolist()}")
    return step


def _axes(controller: Mapping[str, Any], name: str, usual: Any) -> np.ndarray:
    try:
        return np.array(np.broadcast_to(controller.get(name, usual), _AXES), dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"its controller has {name} = {controller[name]}, must be a number or {_AXES}") from None
