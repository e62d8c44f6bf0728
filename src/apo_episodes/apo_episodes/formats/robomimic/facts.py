"""Who drove each step of a robomimic demonstration, and how it ended, as the file has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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
_LOOKS_LIKE_DRIVERS = re.compile(r"interven|intv|acting|action_mode|take_?over|is_human|is_expert|autonom", re.I)
# Words that may name a driver where each step has one value, if nothing above does.
_MAY_NAME_DRIVERS = re.compile(
    r"(?:^|_)(?:human|user|operator|teleop\w*|expert|policy|agent|auto|driver|driven|sources?|modes?|correct\w*|hitl|"
    r"actor|is_demo|demonstrat\w*|dagger|novice|overrid\w*|hand_?over|control\w*|teacher|oracle|supervis\w*|manual)(?:$|_)",
    re.I,
)
_SUCCESS = ("success", "is_success", "task_success", "final_success")


def read_outcome(group: h5py.Group) -> EpisodeOutcome:
    """The outcome that a demonstration states.

    A shaped reward states nothing about success, and `dones` beside a sparse reward may only mark the last step. Where
    the file has a value of success, as dataset or attribute, nothing else counts.
    """
    stated = as_text(group.attrs.get("outcome", "")).upper()
    if stated in set(Outcome):
        reason = "outcome of the file"
        return EpisodeOutcome(Outcome(stated), reason, terminated=stated == Outcome.SUCCESS, truncated=False)
    for name, is_success in _evidence(group).items():
        if is_success:
            return EpisodeOutcome(Outcome.SUCCESS, f"{name} of the file", terminated=True, truncated=False)
    return EpisodeOutcome(Outcome.UNLABELED, "the file states no success", terminated=False, truncated=False)


def _evidence(group: h5py.Group) -> dict[str, bool]:
    """{what may state success: whether it does}."""
    if stated := {name: _holds(group.attrs[name]) for name in _SUCCESS if name in group.attrs}:
        return stated
    if stated := {name: _holds(group[name][()]) for name in _SUCCESS if name in group}:
        return stated
    rewards = np.asarray(group["rewards"][()], np.float64).ravel() if "rewards" in group else np.array([0.5])
    if np.isin(rewards, (0.0, 1.0)).all() and not _from_the_start(rewards):
        return {"sparse reward": _holds(rewards)}
    if "dones" in group:
        dones = np.asarray(group["dones"][()]).ravel()
        return {"dones": _holds(dones) and not _from_the_start(dones)}
    return {}


def _holds(values: object) -> bool:
    """Whether a value, or that of any step, is 1, true or `success`."""
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return bool((array == 1).any())
    return any(as_text(value).lower() in ("1", "true", "success") for value in array.ravel().tolist())


def _from_the_start(values: np.ndarray) -> bool:
    """Whether it is 1 at the first of several steps: a reward for each step, which marks no success."""
    return len(values) > 1 and values[0] == 1


def as_text(value: object) -> str:
    """An attribute as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def read_drivers(group: h5py.Group, steps: int) -> tuple[EpisodeKind, list[ControlSource]]:
    """The kind of episode and the driver of each of its steps.

    Raises:
        ValueError: a dataset about drivers that is not known, has another shape or unknown values, or contradicts
            another; the message names it.
    """
    names = _paths(group)
    about = {name: _last(name) for name in names if _LOOKS_LIKE_DRIVERS.search(_last(name))}
    unknown = [name for name, key in about.items() if key not in _DRIVERS]
    unknown += [] if about else _suspects(group, names, steps)
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} may state who drove, in a form that is not known; known: {', '.join(_DRIVERS)} "
            "(--drivers expert takes every step as the expert's)"
        )
    found = {name: _column(group, name, _DRIVERS[key], steps) for name, key in about.items()}
    if not found or _is_teleoperation({about[name]: drivers for name, drivers in found.items()}):
        return EpisodeKind.DEMONSTRATION, [ControlSource.HUMAN] * steps
    found |= _joined(found)
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


def _paths(group: h5py.Group) -> list[str]:
    """Of everything below a demonstration."""
    found: list[str] = []
    group.visit(found.append)
    return found


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _suspects(group: h5py.Group, names: Iterable[str], steps: int) -> list[str]:
    """Datasets with a value for each step, and attributes, whose names may state who drove."""
    datasets = {name: group[name] for name in names if isinstance(group[name], h5py.Dataset)}
    per_step = [name for name, data in datasets.items() if data.shape in ((steps,), (steps, 1))]
    found = [name for name in per_step if _MAY_NAME_DRIVERS.search(_last(name))]
    for above in {group.parent.name: group.parent, "/": group.file}.values():
        found += [f"attribute {name} of {above.name}" for name in above.attrs if _LOOKS_LIKE_DRIVERS.search(name)]
    for name, value in group.attrs.items():
        is_per_step = np.size(value) == steps > 1 and _MAY_NAME_DRIVERS.search(name)
        if _LOOKS_LIKE_DRIVERS.search(name) or is_per_step:
            found.append(f"attribute {name}")
    return found


def _is_teleoperation(found: Mapping[str, list[ControlSource | None]]) -> bool:
    """Whether robosuite's keys state that no policy acted and nobody intervened: it records a person alone so."""
    acted = found.get("policy_acting", found.get("user_acting"))
    if acted is None or set(found) - {"interventions", "user_acting", "policy_acting"}:
        return False
    if "interventions" in found:
        return ControlSource.HUMAN not in found["interventions"] and ControlSource.POLICY not in acted
    return not any(ControlSource.POLICY in drivers for drivers in found.values())


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
