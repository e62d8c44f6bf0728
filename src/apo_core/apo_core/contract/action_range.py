"""Compares the actions that a policy was trained on with those that a robot takes: units that do not fit show here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apo_core.actions import GRIPPER, SIZE
from apo_core.contract.specs import ActionSpec

FAR_BEYOND = 2.0  # times the contract's range
TINY = 0.1  # share of the contract's range


@dataclass(frozen=True, slots=True)
class DataRange:
    """Nearly all actions of the training data, (A,) each, contract units as deployment.yaml converts them."""

    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, slots=True)
class RangeFaults:
    """Dimensions in which data and contract differ, a line each."""

    beyond: tuple[str, ...]  # reach beyond FAR_BEYOND times the contract: units or signs are wrong
    tiny: tuple[str, ...]  # never reach TINY of it, or one end of a gripper's: units may be wrong


def compare_ranges(data: DataRange, action: ActionSpec) -> RangeFaults:
    """Compares each dimension with the contract's larger limit; a gripper's data reach both its ends, or nearly."""
    beyond, tiny = [], []
    for dimension, (name, unit) in enumerate(zip(action.names, action.units, strict=True)):
        low, high = float(data.low[dimension]), float(data.high[dimension])
        limit, reach = max(abs(action.low[dimension]), abs(action.high[dimension])), max(abs(low), abs(high))
        text = (
            f"{name}: the training data reach {low:.3g} .. {high:.3g} {unit}, the contract "
            f"{action.low[dimension]:g} .. {action.high[dimension]:g} (deployment.yaml: action_scale, action_offset)"
        )
        if reach > FAR_BEYOND * limit:
            beyond.append(text)
        elif reach < TINY * limit:
            tiny.append(text)
        elif dimension == GRIPPER and action.size == SIZE and not _reaches_both(low, high, action):
            tiny.append(f"{text}: it never {'opens' if low > action.low[dimension] / 2 else 'closes'}")
    return RangeFaults(tuple(beyond), tuple(tiny))


def _reaches_both(low: float, high: float, action: ActionSpec) -> bool:
    """Whether a gripper's data reach beyond half of the way to each of its limits."""
    return low <= action.low[GRIPPER] / 2 and high >= action.high[GRIPPER] / 2
