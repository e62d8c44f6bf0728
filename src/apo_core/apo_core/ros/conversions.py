"""Between ROS messages and numpy arrays; no copy where the wire allows it."""

from __future__ import annotations

import array
import math
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, Twist, TwistStamped, WrenchStamped
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from apo_core.contract.specs import ImageSpec, StateSpec
from apo_core.errors import ObservationError


def to_ns(stamp: Time) -> int:
    """Nanoseconds of a stamp."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_stamp(ns: int) -> Time:
    """Stamp of nanoseconds; negative times become zero."""
    seconds, nanoseconds = divmod(max(ns, 0), 1_000_000_000)
    return Time(sec=int(seconds), nanosec=int(nanoseconds))


def to_floats(values: np.ndarray | None) -> array.array:
    """Message field `float32[]` of an array; empty for None."""
    return array.array("f", b"" if values is None else np.ascontiguousarray(values, np.float32).tobytes())


def to_ints(values: np.ndarray | None) -> array.array:
    """Message field `int32[]` of an array; empty for None."""
    return array.array("i", b"" if values is None else np.ascontiguousarray(values, np.int32).tobytes())


def from_floats(values: array.array, size: int) -> np.ndarray | None:
    """Array of a message field `float32[]`; None when empty.

    Raises:
        ObservationError: neither empty nor `size` long.
    """
    if not len(values):
        return None
    if len(values) != size:
        raise ObservationError(f"got {len(values)} values, the contract requires {size} (config/contract.yaml)")
    return np.array(values, np.float32)


def image_to_msg(image: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """sensor_msgs/Image (rgb8) of a uint8 (H, W, 3) array."""
    height, width, _ = image.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width, is_bigendian=0)
    message.header.stamp = to_stamp(stamp_ns)
    message.header.frame_id = frame_id
    message.data = array.array("B", image.tobytes())
    return message


def image_from_msg(message: Image | CompressedImage, spec: ImageSpec) -> np.ndarray:
    """Array of an image message: uint8 (H, W, 3) rgb, uint8 (H, W, 1) of mono8, uint16 (H, W, 1) of 16UC1.

    Raises:
        ObservationError: encoding or size is not the contract's, or the data are too short or no image.
    """
    if isinstance(message, CompressedImage):
        return _decoded(message, spec)
    if message.encoding != spec.encoding or (message.height, message.width) != (spec.height, spec.width):
        raise ObservationError(
            f"image '{spec.name}' on {spec.topic} is {message.encoding} {message.height} x {message.width}, "
            f"the contract requires {spec.encoding} {spec.height} x {spec.width} (config/contract.yaml)"
        )
    data = np.frombuffer(message.data, np.uint8)
    row = spec.shape[2] * spec.width * spec.dtype.itemsize
    if message.step < row or data.size < message.step * spec.height:
        raise ObservationError(f"image '{spec.name}' on {spec.topic} has {data.size} bytes, step {message.step}")
    rows = np.ascontiguousarray(data[: message.step * spec.height].reshape(spec.height, message.step)[:, :row])
    image = rows.view(spec.dtype.newbyteorder(">" if message.is_bigendian else "<")).reshape(spec.shape)
    return np.ascontiguousarray(image[:, :, ::-1] if spec.encoding == "bgr8" else image, spec.dtype)


_DECODE = {"mono8": cv2.IMREAD_GRAYSCALE, "16UC1": cv2.IMREAD_UNCHANGED}
_DEPTH_HEADER = 12  # bytes that compressed_depth_image_transport puts before the PNG file


def _decoded(message: CompressedImage, spec: ImageSpec) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)[_DEPTH_HEADER if "compressedDepth" in message.format else 0 :]
    try:
        image = cv2.imdecode(data, _DECODE.get(spec.encoding, cv2.IMREAD_COLOR))
    except cv2.error:
        image = None
    if image is None or image.shape[:2] != (spec.height, spec.width) or image.dtype != spec.dtype:
        found = "not readable" if image is None else f"{image.dtype} {image.shape[0]} x {image.shape[1]}"
        raise ObservationError(
            f"compressed image '{spec.name}' on {spec.topic} ({message.format}) is {found}, "
            f"the contract requires {spec.encoding} {spec.height} x {spec.width} (config/contract.yaml)"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if spec.shape[2] == 3 else image.reshape(spec.shape)


def pose_to_array(pose: Pose) -> np.ndarray:
    """float32 (7,): x y z [m], quaternion x y z w with its largest component positive (q and -q are one rotation)."""
    p, q = pose.position, pose.orientation
    values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w], np.float32)
    if values[3:][np.argmax(np.abs(values[3:]))] < 0:
        values[3:] *= -1
    return values


def array_to_pose(values: np.ndarray) -> Pose:
    """geometry_msgs/Pose of x y z [m], quaternion x y z w."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = (float(v) for v in values[:3])
    q = pose.orientation
    q.x, q.y, q.z, q.w = (float(v) for v in values[3:7])
    return pose


def twist_to_array(twist: Twist) -> np.ndarray:
    """float64 (6,): linear x y z [m/s], angular x y z [rad/s]."""
    linear, angular = twist.linear, twist.angular
    return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])


def trajectory_end(message: JointTrajectory, joint: str) -> float:
    """Where a joint's trajectory ends [rad or m]; NaN when it does not name that joint."""
    if joint not in message.joint_names or not message.points:
        return math.nan
    positions, index = message.points[-1].positions, message.joint_names.index(joint)
    return positions[index] if index < len(positions) else math.nan


def state_from_msg(message: Any, spec: StateSpec) -> np.ndarray:
    """float32 (size,) of a state message, of one of contract.STATE_TYPES.

    Raises:
        ObservationError: a joint of the contract is not in the message, or there are too few or too many values.
    """
    if isinstance(message, PoseStamped):
        return pose_to_array(message.pose)
    if isinstance(message, WrenchStamped):
        force, torque = message.wrench.force, message.wrench.torque
        return np.array([force.x, force.y, force.z, torque.x, torque.y, torque.z], np.float32)
    if isinstance(message, TwistStamped):
        linear, angular = message.twist.linear, message.twist.angular
        return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z], np.float32)
    if not isinstance(message, JointState):
        values = np.atleast_1d(np.array(message.data, np.float32))
        if values.shape != (spec.size,):
            raise ObservationError(
                f"state '{spec.name}' on {spec.topic} has {values.size} values, the contract requires {spec.size} "
                "(config/contract.yaml)"
            )
        return values
    values = getattr(message, spec.field)
    index = {name: i for i, name in enumerate(message.name)}
    missing = [name for name in spec.joints if name not in index or index[name] >= len(values)]
    if missing:
        raise ObservationError(
            f"state '{spec.name}' on {spec.topic}: joints {missing} have no {spec.field}; "
            f"the message has {message.name}"
        )
    return np.array([values[index[name]] for name in spec.joints], np.float32)
