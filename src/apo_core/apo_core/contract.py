"""The contract between robot, policy and data: keys, topics, shapes, units, rates, limits (config/contract.yaml)."""

from __future__ import annotations

import dataclasses
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
    "geometry_msgs/msg/WrenchStamped": 6,  # force x y z [N], torque x y z [N m]
    "geometry_msgs/msg/TwistStamped": 6,  # linear x y z [m/s], angular x y z [rad/s]
    # without a header: their stamp is the ROS time of arrival
    "std_msgs/msg/Float32MultiArray": None,
    "std_msgs/msg/Float64MultiArray": None,
    **{f"std_msgs/msg/{kind}": 1 for kind in ("Bool", "Float32", "Float64")},
    **{f"std_msgs/msg/{sign}{bits}": 1 for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)},
}
JOINT_FIELDS = ("position", "velocity", "effort")
ENCODINGS = {"rgb8": ("uint8", 3), "bgr8": ("uint8", 3), "mono8": ("uint8", 1), "16UC1": ("uint16", 1)}
IMAGE, COMPRESSED_IMAGE = IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
FEEDBACK_TYPES = ("geometry_msgs/msg/TwistStamped",)
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One camera."""

    name: str
    topic: str
    height: int  # pixels
    width: int  # pixels
    encoding: str  # of the topic, or of what a CompressedImage decodes to; colour images inside apo are always rgb
    type: str = IMAGE  # ROS message type
    rate_hz: float = 0.0  # of the topic, by which missing frames are counted; 0: what is measured

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C); C is 3 for colour, 1 for grey and depth."""
        return self.height, self.width, ENCODINGS[self.encoding][1]

    @property
    def dtype(self) -> np.dtype:
        """uint8; uint16 for depth."""
        return np.dtype(ENCODINGS[self.encoding][0])


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
    rate_hz: float = 0.0  # of the topic, by which missing messages are counted; 0: what is measured


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


OPTIONAL_LIMITS = ("linear_acceleration", "angular_acceleration", "linear_jerk", "angular_jerk", "step")


def _limit(unit: str, description: str, **default: Any) -> Any:
    return dataclasses.field(metadata={"unit": unit, "description": description}, **default)


@dataclass(frozen=True)
class Limits:
    """Safety limits applied to every executed command; None: no such limit."""

    linear_speed: float = _limit("m/s", "speed of the end effector, norm")
    angular_speed: float = _limit("rad/s", "rotation of the end effector, norm")
    workspace_low: tuple[float, float, float] = _limit("m", "lower corner of the workspace box, frame of the pose")
    workspace_high: tuple[float, float, float] = _limit("m", "upper corner of the workspace box")
    linear_acceleration: float | None = _limit("m/s^2", "change of the commanded velocity, norm", default=None)
    angular_acceleration: float | None = _limit("rad/s^2", "change of the commanded rotation, norm", default=None)
    linear_jerk: float | None = _limit("m/s^3", "jerk of the blend when control changes hands, norm", default=None)
    angular_jerk: float | None = _limit("rad/s^3", "the same of the rotation", default=None)
    step: tuple[float, ...] | None = _limit(
        "m, rad", "displacement in one control tick, for each of the six dimensions of the twist", default=None
    )

    @property
    def absent(self) -> tuple[str, ...]:
        """Keys of the contract file for limits that are not set."""
        return tuple(f"limits.{name}" for name in OPTIONAL_LIMITS if getattr(self, name) is None)


@dataclass(frozen=True, slots=True)
class FeedbackSpec:
    """Where the robot reports the measured twist of its end effector."""

    topic: str
    type: str  # ROS message type


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
    feedback: FeedbackSpec | None = None  # None: the robot does not report what it does

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
        """Hash of what a policy depends on: keys, shapes, units, rate. Topics and safety limits may change freely."""
        core = self.as_dict()
        for section in ("images", "state"):
            for spec in core[section].values():
                spec.pop("topic")
                spec.pop("rate_hz", None)
        for spec in core["images"].values():
            spec.pop("type", None)
        for section in ("limits", "tolerance_s", "max_age_s", "feedback"):
            core.pop(section, None)
        text = json.dumps(core, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the shape of the YAML file; what is not set has no key."""
        limits = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.limits).items()
            if value is not None
        }
        feedback = {} if self.feedback is None else {"feedback": dataclasses.asdict(self.feedback)}
        return {
            "version": CONTRACT_VERSION,
            "rate_hz": self.rate_hz,
            "frame_id": self.frame_id,
            "tolerance_s": self.tolerance_s,
            "max_age_s": self.max_age_s,
            "images": {
                s.name: {"topic": s.topic, "height": s.height, "width": s.width, "encoding": s.encoding}
                | ({} if s.type == IMAGE else {"type": s.type})
                | _rate(s)
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
                | _rate(s)
                for s in self.state
            },
            "action": {
                "names": list(self.action.names),
                "units": list(self.action.units),
                "low": list(self.action.low),
                "high": list(self.action.high),
            },
            "limits": limits,
            **feedback,
        }

    def check_observation(self, observation: Observation) -> None:
        """Raises ObservationError naming every part that is missing, of wrong shape or type, or not finite."""
        faults = []
        for spec in self.images:
            image = observation.images.get(spec.name)
            if image is None:
                faults.append(f"image '{spec.name}' is missing")
            elif image.shape != spec.shape or image.dtype != spec.dtype:
                faults.append(
                    f"image '{spec.name}' is {image.dtype} {image.shape}, the contract says {spec.dtype} {spec.shape}"
                )
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


def _rate(spec: ImageSpec | StateSpec) -> dict[str, float]:
    return {"rate_hz": spec.rate_hz} if spec.rate_hz else {}


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


def _read_limits(r: _Reader, data: Any) -> Limits:
    given = r.get(data, "limits", dict)
    known = [spec.name for spec in dataclasses.fields(Limits)]
    # a limit with a misspelt name would not protect anybody
    for name in [name for name in given if name not in known]:
        r.require(False, f"limits.{name} is not a limit; known: {', '.join(known)}")
    set_here = {name for name in OPTIONAL_LIMITS if given.get(name) is not None}
    limits = Limits(
        linear_speed=r.get(data, "limits.linear_speed", float),
        angular_speed=r.get(data, "limits.angular_speed", float),
        workspace_low=r.numbers(data, "limits.workspace_low"),
        workspace_high=r.numbers(data, "limits.workspace_high"),
        step=r.numbers(data, "limits.step") if "step" in set_here else None,
        **{name: r.get(data, f"limits.{name}", float) for name in OPTIONAL_LIMITS[:-1] if name in set_here},
    )
    for name in ("linear_speed", "angular_speed", *OPTIONAL_LIMITS[:-1]):
        value = getattr(limits, name)
        r.require(
            value is None or (value > 0 and math.isfinite(value)), f"limits.{name} = {value} must be finite and above 0"
        )
    r.require(
        len(limits.workspace_low) == 3
        and len(limits.workspace_high) == 3
        and all(low < high for low, high in zip(limits.workspace_low, limits.workspace_high, strict=False)),
        "limits.workspace_low must be three numbers below limits.workspace_high",
    )
    r.require(
        limits.step is None or (len(limits.step) == 6 and min(limits.step) > 0),
        f"limits.step = {limits.step} must be six numbers above 0: x y z [m], rotation about x y z [rad]",
    )
    return limits


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
            r.get(spec, "type", str, IMAGE, inside=where),
            r.get(spec, "rate_hz", float, 0.0, inside=where),
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
            r.get(spec, "rate_hz", float, 0.0, inside=where),
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
    for name, low, high in list(zip(action.names, action.low, action.high, strict=False))[:6]:
        r.require(
            low <= 0 <= high,
            f"action.low of {name} = {low} must be at most 0 and action.high = {high} at least 0: the arm must be able "
            "to stand still",
        )
    limits = _read_limits(r, data)
    feedback = None
    if "feedback" in data:
        feedback = FeedbackSpec(r.get(data, "feedback.topic", str), r.get(data, "feedback.type", str))
        r.require(
            feedback.type in FEEDBACK_TYPES, f"feedback.type = {feedback.type!r} is not one of {list(FEEDBACK_TYPES)}"
        )
    tolerance_s = r.get(data, "tolerance_s", float)
    max_age_s = r.get(data, "max_age_s", float)
    r.require(tolerance_s > 0, f"tolerance_s = {tolerance_s} must be above 0")
    r.require(max_age_s > 0, f"max_age_s = {max_age_s} must be above 0")
    frame_id = r.get(data, "frame_id", str)
    if r.faults:
        raise ConfigError(source, r.faults)
    return Contract(
        rate_hz, frame_id, tolerance_s, max_age_s, tuple(images), tuple(state), action, limits, source, feedback
    )


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
