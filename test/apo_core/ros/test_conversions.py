import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

import cv2
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped, Vector3, WrenchStamped
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float32MultiArray, Float64, Float64MultiArray, Int64, UInt16
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from apo_core.contract.specs import COMPRESSED_IMAGE, ImageSpec, StateSpec
from apo_core.errors import ObservationError
from apo_core.ros.conversions import (
    array_to_pose,
    from_floats,
    image_from_msg,
    image_to_msg,
    pose_to_array,
    state_from_msg,
    to_floats,
    to_ns,
    to_stamp,
    trajectory_end,
    twist_to_array,
)

FRONT = ImageSpec("front", "front/image_raw", 4, 6, "rgb8")
FRONT_BGR = ImageSpec("front", "front/image_raw", 4, 6, "bgr8")
JOINTS = StateSpec("q", "joint_states", "sensor_msgs/msg/JointState", 2, "rad", "position", ("b", "a"))
IMAGE = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_000_000_000, 1_795_254_107_425_036_768])
def test_stamps_keep_every_nanosecond(ns):
    assert to_ns(to_stamp(ns)) == ns


def test_negative_time_becomes_zero():
    assert to_ns(to_stamp(-5)) == 0


def test_floats_survive():
    values = np.array([0.1, -2.0, 3e-8], np.float32)
    np.testing.assert_array_equal(from_floats(to_floats(values), 3), values)
    assert to_floats(None) == array.array("f")
    assert from_floats(array.array("f"), 3) is None


def test_floats_of_another_size_are_rejected():
    with pytest.raises(ObservationError, match="got 2 values, the contract requires 3"):
        from_floats(array.array("f", [1, 2]), 3)


def test_image_survives():
    message = image_to_msg(IMAGE, 1_500_000_000, "front_optical_frame")
    assert (message.encoding, message.height, message.width, message.step) == ("rgb8", 4, 6, 18)
    assert to_ns(message.header.stamp) == 1_500_000_000
    assert message.header.frame_id == "front_optical_frame"
    np.testing.assert_array_equal(image_from_msg(message, FRONT), IMAGE)


def test_rows_may_be_padded():
    message = image_to_msg(IMAGE, 0, "f")
    message.step = 20
    message.data = array.array("B", np.pad(IMAGE.reshape(4, 18), ((0, 0), (0, 2)), constant_values=7).tobytes())
    np.testing.assert_array_equal(image_from_msg(message, FRONT), IMAGE)


def test_bgr_becomes_rgb():
    message = image_to_msg(IMAGE, 0, "f")
    message.encoding = "bgr8"
    np.testing.assert_array_equal(image_from_msg(message, FRONT_BGR), IMAGE[:, :, ::-1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("encoding", "mono8"), ("height", 5), ("width", 3), ("step", 10), ("data", array.array("B", bytes(71)))],
)
def test_misfitting_images_are_rejected(field, value):
    message = image_to_msg(IMAGE, 0, "f")
    setattr(message, field, value)
    with pytest.raises(ObservationError, match="'front' on front/image_raw"):
        image_from_msg(message, FRONT)


def test_pose_survives():
    values = np.array([1, 2, 3, 0.5, -0.5, 0.5, 0.5], np.float32)
    np.testing.assert_array_equal(pose_to_array(array_to_pose(values)), values)


def test_both_signs_of_a_quaternion_are_one_rotation():
    values = np.array([0, 0, 0, 0.1, 0.2, -0.9, 0.3], np.float32)
    mirrored = values.copy()
    mirrored[3:] *= -1
    np.testing.assert_array_equal(pose_to_array(array_to_pose(values)), mirrored)
    np.testing.assert_array_equal(pose_to_array(array_to_pose(mirrored)), mirrored)


def test_joints_are_found_by_name():
    message = JointState(name=["a", "x", "b"], position=[1.0, 2.0, 3.0])
    assert state_from_msg(message, JOINTS).tolist() == [3.0, 1.0]


def test_pose_state():
    spec = StateSpec("p", "ee_pose", "geometry_msgs/msg/PoseStamped", 7, "m", "", ())
    message = PoseStamped(pose=array_to_pose(np.array([1, 2, 3, 0, 0, 0, 1], np.float32)))
    assert state_from_msg(message, spec).tolist() == [1, 2, 3, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "message", [JointState(name=["a"], position=[1.0]), JointState(name=["a", "b"], velocity=[1.0])]
)
def test_missing_joints_are_named(message):
    with pytest.raises(ObservationError, match=r"joints .* have no position"):
        state_from_msg(message, JOINTS)


def test_twist_is_linear_before_angular():
    twist = Twist(linear=Vector3(x=1.0, y=2.0, z=3.0), angular=Vector3(x=4.0, y=5.0, z=6.0))
    assert twist_to_array(twist).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_trajectory_ends_where_its_last_point_puts_the_joint():
    points = [JointTrajectoryPoint(positions=values) for values in ([0.1, 0.2], [0.3, 0.4])]
    message = JointTrajectory(joint_names=["a", "b"], points=points)
    assert (trajectory_end(message, "a"), trajectory_end(message, "b")) == (0.3, 0.4)


@pytest.mark.parametrize(
    ("names", "points"), [(["a"], [[0.1]]), (["a", "b"], [[0.1]]), (["b"], []), ([], [[0.1]]), (["b"], [[]])]
)
def test_a_trajectory_without_the_joint_ends_nowhere(names, points):
    message = JointTrajectory(joint_names=names, points=[JointTrajectoryPoint(positions=p) for p in points])
    assert np.isnan(trajectory_end(message, "b"))


GREY = ImageSpec("front", "front/image_raw", 4, 6, "mono8")
DEPTH = ImageSpec("depth", "depth/image_raw", 4, 6, "16UC1")
DEPTHS = np.arange(24, dtype=np.uint16).reshape(4, 6, 1) * 1000


def test_grey_image():
    grey = IMAGE[:, :, 0]
    message = Image(height=4, width=6, encoding="mono8", step=8)
    message.data = array.array("B", np.pad(grey, ((0, 0), (0, 2))).tobytes())
    found = image_from_msg(message, GREY)
    assert found.shape == (4, 6, 1) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, :, 0], grey)


@pytest.mark.parametrize("order", ["<", ">"])
def test_depth_image_of_either_byte_order(order):
    message = Image(height=4, width=6, encoding="16UC1", step=12, is_bigendian=int(order == ">"))
    message.data = array.array("B", DEPTHS.astype(f"{order}u2").tobytes())
    found = image_from_msg(message, DEPTH)
    assert found.dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(found, DEPTHS)


def test_short_depth_rows_are_rejected():
    message = Image(height=4, width=6, encoding="16UC1", step=6, data=array.array("B", bytes(24)))
    with pytest.raises(ObservationError, match="has 24 bytes, step 6"):
        image_from_msg(message, DEPTH)


def compressed(image: np.ndarray, suffix: str = ".png", format: str = "png", before: bytes = b"") -> CompressedImage:
    data = cv2.imencode(suffix, image)[1].tobytes()
    return CompressedImage(format=format, data=array.array("B", before + data))


def test_compressed_colour_is_rgb():
    message = compressed(np.ascontiguousarray(IMAGE[:, :, ::-1]), format="rgb8; png compressed bgr8")
    for encoding in ("rgb8", "bgr8"):
        spec = ImageSpec("front", "front/compressed", 4, 6, encoding, COMPRESSED_IMAGE)
        np.testing.assert_array_equal(image_from_msg(message, spec), IMAGE)


def test_compressed_grey_and_depth():
    spec = ImageSpec("front", "front/compressed", 4, 6, "mono8", COMPRESSED_IMAGE)
    np.testing.assert_array_equal(image_from_msg(compressed(IMAGE[:, :, 0]), spec)[:, :, 0], IMAGE[:, :, 0])
    spec = ImageSpec("depth", "depth/compressedDepth", 4, 6, "16UC1", COMPRESSED_IMAGE)
    for message in (compressed(DEPTHS), compressed(DEPTHS, format="16UC1; compressedDepth png", before=bytes(12))):
        np.testing.assert_array_equal(image_from_msg(message, spec), DEPTHS)


@pytest.mark.parametrize(
    "message",
    [
        CompressedImage(format="jpeg"),
        CompressedImage(format="jpeg", data=array.array("B", b"no image at all")),
        compressed(IMAGE[:3]),
        compressed(DEPTHS),
    ],
)
def test_misfitting_compressed_images_are_rejected(message):
    with pytest.raises(ObservationError, match="compressed image 'depth'"):
        image_from_msg(message, ImageSpec("depth", "d", 4, 7, "16UC1", COMPRESSED_IMAGE))


def state(kind: str, size: int) -> StateSpec:
    return StateSpec("s", "topic", kind, size, "", "", ())


def test_wrench_and_twist():
    wrench = WrenchStamped()
    wrench.wrench.force = Vector3(x=1.0, y=2.0, z=3.0)
    wrench.wrench.torque = Vector3(x=4.0, y=5.0, z=6.0)
    assert state_from_msg(wrench, state("geometry_msgs/msg/WrenchStamped", 6)).tolist() == [1, 2, 3, 4, 5, 6]
    twist = TwistStamped()
    twist.twist.linear = Vector3(x=1.0, y=2.0, z=3.0)
    twist.twist.angular = Vector3(x=4.0, y=5.0, z=6.0)
    assert state_from_msg(twist, state("geometry_msgs/msg/TwistStamped", 6)).tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Float32MultiArray(data=[1.0, 2.5]), [1, 2.5]),
        (Float64MultiArray(data=[1.0, 2.5, 4.0]), [1, 2.5, 4]),
        (Float64(data=0.5), [0.5]),
        (Bool(data=True), [1]),
        (UInt16(data=7), [7]),
        (Int64(data=-3), [-3]),
    ],
)
def test_numeric_messages(message, expected):
    found = state_from_msg(message, state("std_msgs/msg/x", len(expected)))
    assert found.dtype == np.float32 and found.tolist() == expected


def test_array_of_another_length_is_rejected():
    with pytest.raises(ObservationError, match="has 2 values, the contract requires 3"):
        state_from_msg(Float32MultiArray(data=[1.0, 2.5]), state("std_msgs/msg/Float32MultiArray", 3))
