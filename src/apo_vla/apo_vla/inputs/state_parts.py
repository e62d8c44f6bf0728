"""State of the contract -> numbers that a model reads: parts of the form "key" or "key:form". numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from apo_core.errors import ObservationError
from apo_core.rotations import axis_angle_from_quaternion

FORMS = ("values", "position_axis_angle", "two_fingers")
_SIZES = {"position_axis_angle": (7, 6), "two_fingers": (1, 2)}  # form: numbers of the contract, numbers of the model
_FILE = "deployment.yaml: state"


def part_faults(parts: Iterable[str]) -> list[str]:
    """The parts that are neither "key" nor "key:form" of a known form, as faults."""
    faults = []
    for part in parts:
        key, _, form = part.partition(":")
        if not key or (form or "values") not in FORMS:
            faults.append(f"state = {part!r} must be key or key:form with one of {', '.join(FORMS)}")
    return faults


def size_faults(parts: Iterable[str], sizes: Mapping[str, int], wanted: int, reader: str) -> list[str]:
    """Parts of other sizes than the contract and the model have, as faults.

    Args:
        parts: well-formed, of keys in `sizes`.
        sizes: {state key: numbers} of the contract.
        wanted: numbers that the model reads.
        reader: file or component that reads them, for messages.
    """
    faults, made = [], 0
    for part in parts:
        key, _, form = part.partition(":")
        takes, makes = _SIZES.get(form, (sizes[key], sizes[key]))
        made += makes
        if sizes[key] != takes:
            faults.append(f"state {part!r}: {form} takes {takes} number(s), {key!r} has {sizes[key]}")
    if not faults and made != wanted:
        faults.append(f"state {list(parts)} makes {made} numbers, {reader} reads {wanted}")
    return faults


def state_part(state: Mapping[str, np.ndarray], part: str) -> np.ndarray:
    """The numbers of one part, float64 (n,).

    Args:
        state: {key: (n_key,)}, of the contract.
        part: "key" or "key:form".

    Raises:
        ObservationError: the key is missing or its value has another size than the form takes.
    """
    key, _, form = part.partition(":")
    if key not in state:
        raise ObservationError(f"state '{key}' is missing; the policy's proprioception takes it ({_FILE})")
    value = np.asarray(state[key], dtype=np.float64)
    size, _ = _SIZES.get(form, (value.size, value.size))
    if value.shape != (size,):
        raise ObservationError(f"state '{key}' has shape {value.shape}, {form} ({_FILE}) takes ({size},)")
    if form == "position_axis_angle":
        return np.concatenate([value[:3], axis_angle_from_quaternion(value[3:])])
    if form == "two_fingers":  # the joint positions of a parallel gripper of that opening, as robosuite reports them
        return np.array([value[0] / 2, -value[0] / 2])
    return value
