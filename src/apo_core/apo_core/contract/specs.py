"""The parts of a contract: cameras, parts of the state, the action, safety limits and feedback."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

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


LARGEST = 1e9  # of a limit and of a coordinate, SI; larger values are meaningless and would overflow
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
