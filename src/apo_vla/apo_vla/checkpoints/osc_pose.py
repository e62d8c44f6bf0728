"""Units of LIBERO and robosuite: actions are inputs of OSC_POSE, in which 1 is 0.05 m or 0.5 rad a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apo_core.actions import GRIPPER, LINEAR, SIZE, TWIST
from apo_core.contract.action_range import DataRange

_STEPS = (0.05, 0.05, 0.05, 0.5, 0.5, 0.5)  # m and rad
_LEAST, _MOST = 0.3, 1.5  # largest input in the data: of a position at least, of any dimension at most


def osc_scale(rate_hz: float) -> tuple[float, ...]:
    """m/s and rad/s of an input of 1, without the gripper."""
    return tuple(round(step * rate_hz, 9) for step in _STEPS)


def osc_hint(data: DataRange, scale: Sequence[float], offset: Sequence[float], rate_hz: float) -> str:
    """The conversion to try where data look like inputs of OSC_POSE and are converted otherwise; else empty.

    Args:
        data: of the training, as `scale` and `offset` convert them.
        scale, offset: (A,) of deployment.yaml.
        rate_hz: of the robot.
    """
    wanted = osc_scale(rate_hz)
    if len(scale) != SIZE or len(offset) != SIZE or not np.all(scale) or tuple(scale[TWIST]) == wanted:
        return ""
    low, high = ((values - np.array(offset)) / np.array(scale) for values in (data.low, data.high))
    reach = np.maximum(np.abs(low), np.abs(high))
    if (reach[LINEAR] < _LEAST).any() or (reach[TWIST] > _MOST).any():
        return ""
    is_signed = min(low[GRIPPER], high[GRIPPER]) < -0.5
    gripper = (1.0, 0.0) if is_signed else (scale[GRIPPER], offset[GRIPPER])
    scales = ",".join(f"{value:g}" for value in (*wanted, gripper[0]))
    offsets = ",".join(f"{value:g}" for value in (*[0.0] * 6, gripper[1]))
    return (
        "every dimension of the data is within about -1 .. 1, as inputs of OSC_POSE are (LIBERO, robosuite); for "
        f"these: action_scale=[{scales}] action_offset=[{offsets}]"
    )
