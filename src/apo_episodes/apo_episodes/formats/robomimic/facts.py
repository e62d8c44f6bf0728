"""Who drove each step of a robomimic demonstration, and how it ended, as the file has it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import h5py
import numpy as np

from apo_core.types import ControlSource, EpisodeKind, EpisodeOutcome, Outcome
from apo_episodes.formats.robomimic.export import BEFORE_INTERVENTION, DEMONSTRATION, HUMAN, ROBOT

_MODES = {DEMONSTRATION: None, ROBOT: ControlSource.POLICY, HUMAN: ControlSource.HUMAN}
# {dataset: {value: driver}}; None is a step of a demonstration. The first two are of Sirius (arXiv 2211.08416).
_DRIVERS: Mapping[str, Mapping[int, ControlSource | None]] = {
    "action_modes": _MODES,
    "intv_labels": {**_MODES, BEFORE_INTERVENTION: ControlSource.POLICY},
    "interventions": {0: ControlSource.POLICY, 1: ControlSource.HUMAN},
    "user_acting": {0: ControlSource.POLICY, 1: ControlSource.HUMAN},
    "policy_acting": {0: ControlSource.HUMAN, 1: ControlSource.POLICY},
}
_LOOKS_LIKE_DRIVERS = re.compile(r"interven|intv|acting|action_mode|takeover|is_human|is_expert|autonom", re.I)


def read_outcome(group: h5py.Group) -> EpisodeOutcome:
    """The outcome that a demonstration states.

    A shaped reward states nothing about success, and `dones` beside a sparse reward may only mark the last step.
    """
    stated = str(group.attrs.get("outcome", ""))
    if stated in set(Outcome):
        reason = "outcome of the file"
        return EpisodeOutcome(Outcome(stated), reason, terminated=stated == Outcome.SUCCESS, truncated=False)
    for name, values in _evidence(group).items():
        if values.any():
            return EpisodeOutcome(Outcome.SUCCESS, f"{name} of the file", terminated=True, truncated=False)
    return EpisodeOutcome(Outcome.UNLABELED, "the file states no success", terminated=False, truncated=False)


def _evidence(group: h5py.Group) -> dict[str, np.ndarray]:
    """{what may state success: (T,) whether it does}."""
    found = {}
    if "success" in group:
        found["success"] = group["success"][()] == 1
    rewards = np.asarray(group["rewards"][()], np.float64) if "rewards" in group else np.array([0.5])
    if np.isin(rewards, (0.0, 1.0)).all():
        found["sparse reward"] = rewards == 1.0
    elif "dones" in group:
        found["dones"] = group["dones"][()] == 1
    return found


def read_drivers(group: h5py.Group, steps: int) -> tuple[EpisodeKind, list[ControlSource]]:
    """The kind of episode and the driver of each of its steps.

    Raises:
        ValueError: a dataset about drivers that is not known, has another shape or unknown values, or contradicts
            another; the message names it.
    """
    names = [*group, *(f"obs/{name}" for name in group.get("obs", ()))]
    about = {name: name.removeprefix("obs/") for name in names if _LOOKS_LIKE_DRIVERS.search(name)}
    if unknown := [name for name, key in about.items() if key not in _DRIVERS]:
        raise ValueError(
            f"{', '.join(unknown)} may state who drove, in a form that is not known; known: {', '.join(_DRIVERS)} "
            "(--drivers expert takes every step as the expert's)"
        )
    found = {name: _column(group, name, _DRIVERS[key], steps) for name, key in about.items()}
    found |= _joined(found)
    if not found:
        return EpisodeKind.DEMONSTRATION, [ControlSource.HUMAN] * steps
    (first, drivers), *others = found.items()
    for name, other in others:
        for step, (one, two) in enumerate(zip(drivers, other, strict=True)):
            if one != two:
                raise ValueError(f"{first} and {name} name different drivers at step {step}")
    demonstrated = [driver is None for driver in drivers]
    if all(demonstrated):
        return EpisodeKind.DEMONSTRATION, [ControlSource.HUMAN] * steps
    if any(demonstrated):
        raise ValueError(f"{first} has steps of a demonstration ({DEMONSTRATION}) among others")
    held = _column(group, "hold", {0: None, 1: ControlSource.HOLD}, steps) if "hold" in group else [None] * steps
    return EpisodeKind.INTERACTION, [
        held[step] or driver if driver == ControlSource.POLICY else driver
        for step, driver in enumerate(drivers)
        if driver is not None
    ]


def _joined(found: dict[str, list[ControlSource | None]]) -> dict[str, list[ControlSource | None]]:
    """`user_acting` and `policy_acting` as one, taken out of `found`: where neither acts, nobody drove."""
    if not {"user_acting", "policy_acting"} <= found.keys():
        return {}
    by_user, by_policy = found.pop("user_acting"), found.pop("policy_acting")
    drivers: list[ControlSource | None] = []
    for step, (one, two) in enumerate(zip(by_user, by_policy, strict=True)):
        if (one, two) == (ControlSource.HUMAN, ControlSource.POLICY):
            raise ValueError(f"user_acting and policy_acting are both 1 at step {step}")
        drivers.append(one if one == two else ControlSource.HOLD)
    return {"user_acting and policy_acting": drivers}


def _column(
    group: h5py.Group, name: str, meaning: Mapping[int, ControlSource | None], steps: int
) -> list[ControlSource | None]:
    values = np.asarray(group[name][()]) if isinstance(group[name], h5py.Dataset) else np.array([])
    if values.size != steps:
        raise ValueError(f"{name} has shape {values.shape}, expected ({steps},)")
    values = values.reshape(steps)
    wrong = [step for step, value in enumerate(values) if value not in meaning]
    if wrong:
        raise ValueError(f"{name} = {values[wrong[0]]} at step {wrong[0]} is none of {list(meaning)}")
    return [meaning[int(value)] for value in values]
