"""Reads the sections of a contract file and collects every fault in them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from apo_core.actions import SIZE, TWIST
from apo_core.contract.specs import (
    ENCODINGS,
    FEEDBACK_TYPES,
    IMAGE,
    IMAGE_TYPES,
    JOINT_FIELDS,
    LARGEST,
    OPTIONAL_LIMITS,
    STATE_TYPES,
    ActionSpec,
    FeedbackSpec,
    ImageSpec,
    Limits,
    StateSpec,
)
from apo_core.contract.topic_names import topic_fault

_Corner = tuple[float, float, float]
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


class ContractReader:
    """Collects faults while reading nested data."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def get(self, data: Any, path: str, kind: type, default: Any = None, *, inside: str = "") -> Any:
        value: Any = data
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        path = inside + path
        if value is None:
            if default is None:
                self.faults.append(f"{path} is missing")
                return kind() if kind is not float else 1.0
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.faults.append(f"{path} = {value!r} must be of type {kind.__name__}")
            return kind() if kind is not float else 1.0
        return value

    def section(self, data: Any, name: str) -> list[tuple[str, Any]]:
        """Items of a mapping whose keys may become names of datasets and topics."""
        items = self.get(data, name, dict).items()
        for key in [key for key, _ in items if not (isinstance(key, str) and _NAME.fullmatch(key))]:
            self.faults.append(f"{name}.{key} must be named with letters, digits and '_'")
        return [(str(key), spec) for key, spec in items]

    def texts(self, data: Any, path: str) -> tuple[str, ...]:
        return tuple(map(str, self.get(data, path, list)))

    def numbers(self, data: Any, path: str) -> tuple[float, ...]:
        values = self.get(data, path, list)
        wrong = [v for v in values if not isinstance(v, int | float) or isinstance(v, bool) or not math.isfinite(v)]
        if wrong:
            self.faults.append(f"{path} = {values!r} must be finite numbers")
            return ()
        return tuple(float(v) for v in values)

    def topic(self, data: Any, path: str, *, inside: str = "") -> str:
        name = self.get(data, path, str, inside=inside)
        known = f"{inside}{path} is missing" in self.faults
        self.require(known or not topic_fault(name), f"{inside}{path} = {name!r} {topic_fault(name)}")
        return name

    def require(self, condition: bool, fault: str) -> None:
        if not condition:
            self.faults.append(fault)


def read_images(r: ContractReader, data: Any) -> tuple[ImageSpec, ...]:
    """The section `images`."""
    images = []
    for name, spec in r.section(data, "images"):
        get = partial(r.get, spec, inside=f"images.{name}.")
        image = ImageSpec(
            name,
            r.topic(spec, "topic", inside=f"images.{name}."),
            get("height", int),
            get("width", int),
            get("encoding", str),
            get("type", str, IMAGE),
            get("rate_hz", float, 0.0),
        )
        r.require(
            0 < image.height <= 8192 and 0 < image.width <= 8192,
            f"images.{name} is {image.height} x {image.width}, each side must be 1..8192",
        )
        r.require(
            image.encoding in ENCODINGS, f"images.{name}.encoding = {image.encoding!r} is not one of {list(ENCODINGS)}"
        )
        r.require(image.type in IMAGE_TYPES, f"images.{name}.type = {image.type!r} is not one of {list(IMAGE_TYPES)}")
        r.require(0 <= image.rate_hz <= 10_000, f"images.{name}.rate_hz = {image.rate_hz} must be 0..10000")
        images.append(image)
    return tuple(images)


def read_state(r: ContractReader, data: Any) -> tuple[StateSpec, ...]:
    """The section `state`."""
    state = []
    for name, spec in r.section(data, "state"):
        get = partial(r.get, spec, inside=f"state.{name}.")
        part = StateSpec(
            name,
            r.topic(spec, "topic", inside=f"state.{name}."),
            get("type", str),
            get("size", int),
            get("unit", str),
            get("field", str, ""),
            tuple(get("joints", list, [])),
            get("rate_hz", float, 0.0),
        )
        r.require(0 <= part.rate_hz <= 10_000, f"state.{name}.rate_hz = {part.rate_hz} must be 0..10000")
        r.require(part.type in STATE_TYPES, f"state.{name}.type = {part.type!r} is not one of {list(STATE_TYPES)}")
        r.require(0 < part.size <= 4096, f"state.{name}.size = {part.size} must be 1..4096")
        fixed = STATE_TYPES.get(part.type)
        r.require(fixed in (None, part.size), f"state.{name}.size = {part.size}, a {part.type} has {fixed}")
        if part.type == "sensor_msgs/msg/JointState":
            r.require(
                part.field in JOINT_FIELDS, f"state.{name}.field = {part.field!r} is not one of {list(JOINT_FIELDS)}"
            )
            r.require(
                len(part.joints) == part.size, f"state.{name}.joints lists {len(part.joints)}, size is {part.size}"
            )
        state.append(part)
    return tuple(state)


def read_action(r: ContractReader, data: Any) -> ActionSpec:
    """The section `action`."""
    action = ActionSpec(
        r.texts(data, "action.names"),
        r.texts(data, "action.units"),
        r.numbers(data, "action.low"),
        r.numbers(data, "action.high"),
    )
    r.require(
        len({len(action.names), len(action.units), len(action.low), len(action.high)}) == 1 and action.size >= SIZE,
        f"action.names, units, low and high must have the same length, at least {SIZE}",
    )
    r.require(
        all(low < high for low, high in zip(action.low, action.high, strict=False)),
        "action.low must be below action.high",
    )
    for name, low, high in list(zip(action.names, action.low, action.high, strict=False))[TWIST]:
        r.require(
            low <= 0 <= high,
            f"action.low of {name} = {low} must be at most 0 and action.high = {high} at least 0: the arm must be able "
            "to stand still",
        )
    return action


def read_limits(r: ContractReader, data: Any) -> Limits:
    """The section `limits`, in which unknown names are faults."""
    given = r.get(data, "limits", dict)
    known = [spec.name for spec in dataclasses.fields(Limits)]
    # a misspelt limit would have no effect
    for name in [name for name in given if name not in known]:
        r.require(False, f"limits.{name} is not a limit; known: {', '.join(known)}")
    set_here = {name for name in OPTIONAL_LIMITS if given.get(name) is not None}
    limits = Limits(
        linear_speed=r.get(data, "limits.linear_speed", float),
        angular_speed=r.get(data, "limits.angular_speed", float),
        workspace_low=cast("_Corner", r.numbers(data, "limits.workspace_low")),  # the length is checked below
        workspace_high=cast("_Corner", r.numbers(data, "limits.workspace_high")),
        step=r.numbers(data, "limits.step") if "step" in set_here else None,
        **{name: r.get(data, f"limits.{name}", float) for name in OPTIONAL_LIMITS[:-1] if name in set_here},
    )
    for name in ("linear_speed", "angular_speed", *OPTIONAL_LIMITS[:-1]):
        value = getattr(limits, name)
        r.require(
            value is None or 0 < value <= LARGEST, f"limits.{name} = {value} must be above 0 and at most {LARGEST:g}"
        )
    r.require(
        len(limits.workspace_low) == 3
        and len(limits.workspace_high) == 3
        and all(low < high for low, high in zip(limits.workspace_low, limits.workspace_high, strict=False))
        and all(abs(side) <= LARGEST for side in (*limits.workspace_low, *limits.workspace_high)),
        f"limits.workspace_low must be three numbers below limits.workspace_high, none beyond {LARGEST:g}",
    )
    r.require(
        limits.step is None or (len(limits.step) == 6 and all(0 < step <= LARGEST for step in limits.step)),
        f"limits.step = {limits.step} must be six numbers above 0, at most {LARGEST:g}: x y z [m], rotation about "
        "x y z [rad]",
    )
    return limits


def read_feedback(r: ContractReader, data: Any) -> FeedbackSpec | None:
    """The section `feedback`; None where there is none."""
    if "feedback" not in data:
        return None
    feedback = FeedbackSpec(r.topic(data, "feedback.topic"), r.get(data, "feedback.type", str))
    r.require(
        feedback.type in FEEDBACK_TYPES, f"feedback.type = {feedback.type!r} is not one of {list(FEEDBACK_TYPES)}"
    )
    return feedback
