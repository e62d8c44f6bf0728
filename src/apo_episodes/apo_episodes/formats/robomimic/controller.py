"""robosuite's controller of the arm, as env_args describe it: what an action of 1 stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from apo_core.actions import GRIPPER

# robosuite's OSC_POSE: largest step of a tick
POSITION_STEP_M = 0.05
ROTATION_STEP_RAD = 0.5
CONTROL_RATE_HZ = 20.0
_AXES = 6
_NEAR = 0.02  # share of the gripper's range


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


def gripper_fault(actions: Iterable[np.ndarray], ends: Sequence[float] | None) -> str:
    """What is wrong with the gripper's range; "" where nothing is.

    Args:
        actions: (T, A) of each demonstration.
        ends: the file's values of open and closed; None: robosuite's -1 and 1.
    """
    if ends is not None:
        return f"--gripper-range {ends[0]:g} {ends[1]:g}: the ends must differ" if ends[0] == ends[1] else ""
    columns = [np.asarray(one)[:, GRIPPER] for one in actions if np.ndim(one) == 2 and np.shape(one)[1] > GRIPPER]
    values = np.concatenate([*columns, np.zeros(0)])
    if values.size and 0 <= values.min() < _NEAR and values.max() > 1 - _NEAR:
        return (
            f"the gripper's actions are {values.min():.3g} .. {values.max():.3g}, robosuite's are -1 open and 1 closed"
            ": --gripper-range OPEN CLOSED names the file's"
        )
    return ""


def gripper_actions(values: np.ndarray, ends: Sequence[float] | None) -> np.ndarray:
    """Gripper actions (T,) as -1 open .. 1 closed; see `gripper_fault`."""
    opened, closed = ends or (-1.0, 1.0)
    return 2 * (values - opened) / (closed - opened) - 1


def _axes(controller: Mapping[str, Any], name: str, usual: Any) -> np.ndarray:
    try:
        return np.array(np.broadcast_to(controller.get(name, usual), _AXES), dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"its controller has {name} = {controller[name]}, must be a number or {_AXES}") from None
