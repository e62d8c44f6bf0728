"""The contract between robot, policy and data: keys, topics, shapes, units, rates, limits (config/contract.yaml)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from apo_core.errors import ConfigError, ObservationError
from apo_core.types import Observation

CONTRACT_VERSION = 1
STATE_TYPES = {
    "geometry_msgs/msg/PoseStamped": 7,  # x y z [m], quaternion x y z w
    "sensor_msgs/msg/JointState": None,  # `field` of the named joints
}
JOINT_FIELDS = ("position", "velocity", "effort")
ENCODINGS = ("rgb8", "bgr8")
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One camera."""

    name: str
    topic: str
    height: int  # pixels
    width: int  # pixels
    encoding: str  # of the topic; images inside apo are always rgb


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One part of the state vector."""

    name: str
    topic: str
    type: str  # ROS message type
    size: int
    unit: str
    field: str  # JointState only: position, velocity or effort
    joints: tuple[str, ...]  # JointState only: which joints, in which order


@dataclass(frozen=True)
class ActionSpec:
    """The action vector: a Cartesian velocity of the end effector and the gripper."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]  # per dimension, units above
    high: tuple[float, ...]

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Limits:
    """Safety limits applied to every executed command."""

    linear_speed: float  # m/s, norm of the translation
    angular_speed: float  # rad/s, norm of the rotation
    workspace_low: tuple[float, float, float]  # m, frame of the end-effector pose
    workspace_high: tuple[float, float, float]


@dataclass(frozen=True)
class Contract:
    """Everything that must agree between the one who recorded, trained and serves."""

    rate_hz: float
    frame_id: str
    tolerance_s: float  # largest difference of stamps within one observation
    max_age_s: float  # an older observation must not cause an action
    images: tuple[ImageSpec, ...]
    state: tuple[StateSpec, ...]
    action: ActionSpec
    limits: Limits
    source: str  # file it was read from, for messages

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.rate_hz)

    @property
    def image_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.images)

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.state)

    def state_spec(self, name: str) -> StateSpec:
        """Raises ObservationError for an unknown name."""
        for spec in self.state:
            if spec.name == name:
                return spec
        raise ObservationError(f"state '{name}' is not in the contract ({self.source}); known: {self.state_names}")

    @cached_property
    def json(self) -> str:
        """Canonical JSON of everything that defines the data (not of where it was read from)."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def sha256(self) -> str:
        """Hash of what a policy depends on: keys, shapes, units, rate; topics and safety limits may change freely."""
        core = self.as_dict()
        for section in ("images", "state"):
            for spec in core[section].values():
                spec.pop("topic")
        for section in ("limits", "tolerance_s", "max_age_s"):
            core.pop(section)
        text = json.dumps(core, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the shape of the YAML file."""
        return {
            "version": CONTRACT_VERSION,
            "rate_hz": self.rate_hz,
            "frame_id": self.frame_id,
            "tolerance_s": self.tolerance_s,
            "max_age_s": self.max_age_s,
            "images": {
                s.name: {"topic": s.topic, "height": s.height, "width": s.width, "encoding": s.encoding}
                for s in self.images
            },
            "state": {
                s.name: {
                    "topic": s.topic,
                    "type": s.type,
                    "size": s.size,
                    "unit": s.unit,
                    "field": s.field,
                    "joints": list(s.joints),
                }
                for s in self.state
            },
            "action": {
                "names": list(self.action.names),
                "units": list(self.action.units),
                "low": list(self.action.low),
                "high": list(self.action.high),
            },
            "limits": {
                "linear_speed": self.limits.linear_speed,
                "angular_speed": self.limits.angular_speed,
                "workspace_low": list(self.limits.workspace_low),
                "workspace_high": list(self.limits.workspace_high),
            },
        }

    def check_observation(self, observation: Observation) -> None:
        """Raises ObservationError naming every part that is missing, of wrong shape or type, or not finite."""
        faults = []
        for spec in self.images:
            image = observation.images.get(spec.name)
            want = (spec.height, spec.width, 3)
            if image is None:
                faults.append(f"image '{spec.name}' is missing")
            elif image.shape != want or image.dtype != np.uint8:
                faults.append(f"image '{spec.name}' is {image.dtype} {image.shape}, the contract says uint8 {want}")
        for spec in self.state:
            value = observation.state.get(spec.name)
            if value is None:
                faults.append(f"state '{spec.name}' is missing")
            elif value.shape != (spec.size,):
                faults.append(f"state '{spec.name}' has shape {value.shape}, the contract says ({spec.size},)")
            elif not np.all(np.isfinite(value)):
                faults.append(f"state '{spec.name}' is not finite: {value}")
        if faults:
            raise ObservationError(f"{'; '.join(faults)} (contract: {self.source})")


class _Reader:
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

    def require(self, condition: bool, fault: str) -> None:
        if not condition:
            self.faults.append(fault)


def contract_from_dict(data: Any, source: str) -> Contract:
    """Builds a Contract from plain data.

    Raises:
        ConfigError: every fault found, with `source` as the file to edit.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(source, ["is not a mapping of keys"])
    r = _Reader()
    version = r.get(data, "version", int)
    r.require(version == CONTRACT_VERSION, f"version = {version}, this software reads {CONTRACT_VERSION}")
    rate_hz = r.get(data, "rate_hz", float)
    r.require(0 < rate_hz <= 1000, f"rate_hz = {rate_hz} must be above 0 and at most 1000")
    images = []
    for name, spec in r.section(data, "images"):
        where = f"images.{name}."
        image = ImageSpec(
            name,
            r.get(spec, "topic", str, inside=where),
            r.get(spec, "height", int, inside=where),
            r.get(spec, "width", int, inside=where),
            r.get(spec, "encoding", str, inside=where),
        )
        r.require(
            0 < image.height <= 8192 and 0 < image.width <= 8192,
            f"images.{name} is {image.height} x {image.width}, each side must be 1..8192",
        )
        r.require(image.encoding in ENCODINGS, f"images.{name}.encoding = {image.encoding!r} is not one of {ENCODINGS}")
        images.append(image)
    state = []
    for name, spec in r.section(data, "state"):
        where = f"state.{name}."
        part = StateSpec(
            name,
            r.get(spec, "topic", str, inside=where),
            r.get(spec, "type", str, inside=where),
            r.get(spec, "size", int, inside=where),
            r.get(spec, "unit", str, inside=where),
            r.get(spec, "field", str, "", inside=where),
            tuple(r.get(spec, "joints", list, [], inside=where)),
        )
        r.require(part.type in STATE_TYPES, f"state.{name}.type = {part.type!r} is not one of {list(STATE_TYPES)}")
        r.require(0 < part.size <= 4096, f"state.{name}.size = {part.size} must be 1..4096")
        fixed = STATE_TYPES.get(part.type)
        r.require(fixed in (None, part.size), f"state.{name}.size = {part.size}, a {part.type} has {fixed}")
        if part.type == "sensor_msgs/msg/JointState":
            r.require(
                part.field in JOINT_FIELDS, f"state.{name}.field = {part.field!r} is not one of {list(JOINT_FIELDS)}"
            )
            r.require(
                len(part.joints) == part.size, f"state.{name}.joints lists {len(part.joints)}, size says {part.size}"
            )
        state.append(part)
    shared = sorted({image.name for image in images} & {part.name for part in state})
    r.require(not shared, f"images and state share the names {shared}")
    action = ActionSpec(
        r.texts(data, "action.names"),
        r.texts(data, "action.units"),
        r.numbers(data, "action.low"),
        r.numbers(data, "action.high"),
    )
    r.require(
        len({len(action.names), len(action.units), len(action.low), len(action.high)}) == 1 and action.size >= 7,
        "action.names, units, low and high must have the same length, at least 7",
    )
    r.require(
        all(low < high for low, high in zip(action.low, action.high, strict=False)),
        "action.low must be below action.high",
    )
    limits = Limits(
        r.get(data, "limits.linear_speed", float),
        r.get(data, "limits.angular_speed", float),
        r.numbers(data, "limits.workspace_low"),
        r.numbers(data, "limits.workspace_high"),
    )
    r.require(limits.linear_speed > 0, f"limits.linear_speed = {limits.linear_speed} must be above 0")
    r.require(limits.angular_speed > 0, f"limits.angular_speed = {limits.angular_speed} must be above 0")
    r.require(
        len(limits.workspace_low) == 3
        and len(limits.workspace_high) == 3
        and all(low < high for low, high in zip(limits.workspace_low, limits.workspace_high, strict=False)),
        "limits.workspace_low must be three numbers below limits.workspace_high",
    )
    tolerance_s = r.get(data, "tolerance_s", float)
    max_age_s = r.get(data, "max_age_s", float)
    r.require(tolerance_s > 0, f"tolerance_s = {tolerance_s} must be above 0")
    r.require(max_age_s > 0, f"max_age_s = {max_age_s} must be above 0")
    frame_id = r.get(data, "frame_id", str)
    if r.faults:
        raise ConfigError(source, r.faults)
    return Contract(rate_hz, frame_id, tolerance_s, max_age_s, tuple(images), tuple(state), action, limits, source)


def load_contract(path: Path | str) -> Contract:
    """Reads a contract file.

    Raises:
        ConfigError: unreadable, or any fault in it.
    """
    try:
        data = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from None
    return contract_from_dict(data, str(path))
