"""World, arm and bridge of config/arms/gazebo: valid, physical, of Panda kinematics, as their contract has it."""

import ctypes
import ctypes.util
import io
import xml.etree.ElementTree as ET
from contextlib import suppress

import numpy as np
import pytest
import yaml

pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")

import mujoco
from arm_chains import GAZEBO, PANDA_JOINTS, PANDA_LINKS, PANDA_READY
from mujoco_arm import MujocoArm, load, plugin_values

from apo_core.config.parameters import read_ros_parameters
from apo_core.contract.contract import load_contract
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.factory import make_output
from apo_teleop.outputs.kinematics import Arm

CONTRACT = load_contract(GAZEBO / "contract.yaml")
URDF = ET.parse(GAZEBO / "arm.urdf").getroot()
WORLD = ET.parse(GAZEBO / "world.sdf").getroot().find("world")
BRIDGE = yaml.safe_load((GAZEBO / "bridge.yaml").read_text())
ARM = Arm((GAZEBO / "arm.urdf").read_text(), *PANDA_LINKS, PANDA_JOINTS, "arm.urdf")
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
# a, d [m], alpha [rad] of each joint (Craig), and the flange:
# https://frankarobotics.github.io/docs/robot_specifications.html
DH = (
    (0, 0.333, 0),
    (0, 0, -np.pi / 2),
    (0, 0.316, np.pi / 2),
    (0.0825, 0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0, 0, np.pi / 2),
    (0.088, 0, np.pi / 2),
)
FLANGE_M, TIP_M = 0.107, 0.1034


def sdformat() -> ctypes.CDLL | None:
    """Debian's libsdformat (12), or that of a Gazebo installation."""
    for version in (12, 13, 14, 15, 16):
        for name in (f"libsdformat{version}.so.{version}", f"libsdformat{version}.so"):
            with suppress(OSError):
                return ctypes.CDLL(name)
    return None


SDFORMAT = sdformat()
needs_sdformat = pytest.mark.skipif(
    SDFORMAT is None, reason="libsdformat is missing: apt-get install libsdformat12-12 sdformat-sdf"
)


def dh_tip(positions: np.ndarray) -> np.ndarray:
    """(4, 4) of the tip in the base's axes, by the formula."""
    pose = np.eye(4)
    for (a, d, alpha), theta in zip((*DH, (0, FLANGE_M + TIP_M, 0)), (*positions, -np.pi / 4), strict=True):
        ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
        row = [[ct, -st, 0, a], [st * ca, ct * ca, -sa, -sa * d], [st * sa, ct * sa, ca, ca * d], [0, 0, 0, 1]]
        pose = pose @ np.array(row)
    return pose


def rotation(rpy: list[float]) -> np.ndarray:
    """(3, 3) of roll, pitch, yaw about fixed axes."""
    roll, pitch, yaw = rpy
    x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return z @ y @ x


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split()]


def pixel(point: np.ndarray, place: np.ndarray, axes: np.ndarray, sensor: ET.Element) -> np.ndarray:
    """(column, row) of a point in a camera that looks along x, y to its left, z up; NaN behind it."""
    camera = sensor.find("camera")
    width, height = (int(camera.find("image").findtext(side)) for side in ("width", "height"))
    focal = width / 2 / np.tan(float(camera.findtext("horizontal_fov")) / 2)
    ahead, left, up = axes.T @ (np.asarray(point) - place)
    if ahead <= 0:
        return np.full(2, np.nan)
    return np.array([width / 2 - focal * left / ahead, height / 2 - focal * up / ahead])


def sensor_of(name: str) -> ET.Element:
    sensors = {each.get("name"): each for root in (URDF, WORLD) for each in root.iter("sensor")}
    return sensors[name]


@needs_sdformat
@pytest.mark.parametrize("file", ["world.sdf", "arm.urdf"])
def test_libsdformat_accepts_the_file(file):
    assert SDFORMAT.cmdCheck(str(GAZEBO / file).encode()) == 0


@needs_sdformat
def test_gazebo_sees_the_wrist_camera_where_the_description_has_it(capfd):
    SDFORMAT.cmdPrint(str(GAZEBO / "arm.urdf").encode())
    ctypes.CDLL(None).fflush(None)
    model = ET.parse(io.StringIO(capfd.readouterr().out)).getroot().find("model")
    link = next(link for link in model.findall("link") if link.find("sensor") is not None)
    assert (link.get("name"), link.findtext("gravity")) == ("panda_link7", "0")
    place = numbers(link.find("sensor").findtext("pose"))
    np.testing.assert_allclose(place[:3], [0.0494975, -0.0494975, 0.137], atol=1e-6)
    model = load(fusestatic="false")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    parent, camera = data.body("panda_link7"), data.body("wrist_camera")
    axes = parent.xmat.reshape(3, 3).T
    np.testing.assert_allclose(place[:3], axes @ (camera.xpos - parent.xpos), atol=1e-6)
    np.testing.assert_allclose(rotation(place[3:]), axes @ camera.xmat.reshape(3, 3), atol=1e-4)


def test_mujoco_loads_the_arm_with_its_limits():
    model = load()
    assert [model.joint(i).name for i in range(model.njnt)] == [*PANDA_JOINTS, *FINGERS]
    np.testing.assert_allclose(
        model.jnt_range,
        [
            [-2.8973, 2.8973],
            [-1.7628, 1.7628],
            [-2.8973, 2.8973],
            [-3.0718, -0.0698],
            [-2.8973, 2.8973],
            [-0.0175, 3.7525],
            [-2.8973, 2.8973],
            [0.0, 0.04],
            [0.0, 0.04],
        ],
    )
    limits = {joint.get("name"): joint.find("limit") for joint in URDF.iter("joint") if joint.find("limit") is not None}
    assert [float(limits[name].get("velocity")) for name in PANDA_JOINTS] == [2.175] * 4 + [2.61] * 3
    assert [float(limits[name].get("effort")) for name in PANDA_JOINTS] == [87.0] * 4 + [12.0] * 3
    assert [model.joint(name).type[0] == mujoco.mjtJoint.mjJNT_SLIDE for name in FINGERS] == [True, True]


def test_masses_add_up_and_every_inertia_is_that_of_a_body():
    bodies = {link.get("name"): link.find("inertial") for link in URDF.iter("link")}
    masses = {name: float(part.find("mass").get("value")) for name, part in bodies.items() if part is not None}
    assert sum(mass for name, mass in masses.items() if "link" in name) == pytest.approx(17.8)
    assert masses["panda_hand"] == 0.73 and sum(masses.values()) == pytest.approx(18.63)
    assert load(fusestatic="false").body_mass.sum() == pytest.approx(18.63)
    for name, part in bodies.items():
        if part is None:
            continue
        ixx, iyy, izz = (float(part.find("inertia").get(key)) for key in ("ixx", "iyy", "izz"))
        assert min(ixx, iyy, izz) > 0 and ixx + iyy >= izz and iyy + izz >= ixx and izz + ixx >= iyy, name
        # a body within 0.25 m of its centre
        assert max(ixx, iyy, izz) < masses[name] * 0.25**2, name


@pytest.mark.parametrize(
    ("positions", "place"),
    [
        (np.zeros(7), [0.088, 0.0, 0.8226]),
        (PANDA_READY, [0.306891, 0.0, 0.486882]),
        ([0, np.pi / 2, 0, -0.0698, 0, np.pi / 2, 0], None),
        ([0.5, -0.3, 0.7, -1.9, -0.4, 2.1, 1.1], None),
    ],
)
def test_the_tip_is_where_the_published_parameters_have_it(positions, place):
    found, formula = ARM.at(np.asarray(positions, float)), dh_tip(np.asarray(positions, float))
    np.testing.assert_allclose(found.position, formula[:3, 3], atol=1e-9)
    x, y, z, w = found.quaternion
    np.testing.assert_allclose(
        [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], formula[:3, 0], atol=1e-9
    )
    if place is not None:
        np.testing.assert_allclose(found.position, place, atol=1e-6)


def test_the_reach_covers_the_workspace():
    shoulder, wrist_to_tip = np.array([0, 0, 0.333]), np.hypot(0.088, FLANGE_M + TIP_M)
    reach = 0.316 + 0.384 + wrist_to_tip
    low, high = np.array(CONTRACT.limits.workspace_low), np.array(CONTRACT.limits.workspace_high)
    farthest = np.maximum(np.abs(low - shoulder), np.abs(high - shoulder))
    assert np.linalg.norm(farthest) < reach
    start = ARM.at(PANDA_READY).position
    assert np.all(start > low) and np.all(start < high)


def test_the_arm_starts_ready_and_rests_there():
    starts = plugin_values("initial_position")
    np.testing.assert_allclose([starts[name] for name in PANDA_JOINTS], PANDA_READY)
    arm = MujocoArm()
    for _ in range(250):
        arm.step()
    np.testing.assert_allclose(arm.positions, arm.target, atol=1e-6)
    assert arm._data.ncon == 0, "links overlap in the ready posture"


def test_torque_of_the_plugins_is_that_of_the_joints():
    limits = {joint.get("name"): joint.find("limit") for joint in URDF.iter("joint") if joint.find("limit") is not None}
    largest, smallest = plugin_values("position_cmd_max"), plugin_values("position_cmd_min")
    assert largest == {name: float(limits[name].get("effort")) for name in limits}
    assert smallest == {name: -value for name, value in largest.items()}


def test_the_arm_follows_an_operator_within_its_torque():
    written = read_ros_parameters(GAZEBO / "parameters.yaml", "arbiter")
    config = OutputConfig(**{name: value for name, value in written.items() if name in OutputConfig.__slots__})
    output = make_output(config, CONTRACT)
    output.on_description((GAZEBO / "arm.urdf").read_text())
    arm, now_ns, passed = MujocoArm(), CONTRACT.period_ns, []
    order = [arm.joints.index(name) for name in PANDA_JOINTS]
    for twist, ticks in (((0.1, 0.1, -0.1, 0, 0, 0.5), 30), ((-0.05, -0.2, 0.1, 0, 0.3, 0), 30), ((0,) * 6, 20)):
        for _ in range(ticks):
            posture = ARM.at(arm.positions[order])
            output.on_pose(posture.position, posture.quaternion, now_ns)
            output.on_joints(arm.positions[order], "", now_ns)
            arm.set_targets(PANDA_JOINTS, output.command(np.array(twist, float), now_ns))
            now_ns += CONTRACT.period_ns
            passed.append(posture.position)
            while arm.time_s < now_ns * 1e-9:
                arm.step()
    np.testing.assert_allclose(arm.positions, arm.target, atol=1e-3)
    assert np.ptp(passed, axis=0).min() > 0.05
    assert 0.1 < np.max(arm.largest_torque) < 1.0


@pytest.mark.parametrize("name", ["agentview", "wrist"])
def test_a_camera_has_the_size_and_rate_of_the_contract(name):
    sensor, spec = sensor_of(name), next(image for image in CONTRACT.images if image.name == name)
    image = sensor.find("camera").find("image")
    assert (int(image.findtext("height")), int(image.findtext("width"))) == (spec.height, spec.width)
    assert (image.findtext("format"), spec.encoding) == ("R8G8B8", "rgb8")
    assert float(sensor.findtext("update_rate")) == spec.rate_hz == CONTRACT.rate_hz
    assert sensor.findtext("topic") == spec.topic


def test_the_agent_sees_the_table_in_the_workspace_and_the_start():
    place = numbers(next(m for m in WORLD.findall("model") if m.get("name") == "agentview").findtext("pose"))
    (x0, y0, z0), (x1, y1, _) = CONTRACT.limits.workspace_low, CONTRACT.limits.workspace_high
    points = [(x, y, z0) for x in (x0, x1) for y in (y0, y1)] + [ARM.at(PANDA_READY).position]
    for point in points:
        found = pixel(point, np.array(place[:3]), rotation(place[3:]), sensor_of("agentview"))
        assert np.all((found > 0) & (found < 224)), (point, found)
    centre = pixel([0.5, 0, 0.02], np.array(place[:3]), rotation(place[3:]), sensor_of("agentview"))
    np.testing.assert_allclose(centre, [112, 112], atol=25)


def test_the_wrist_camera_sees_the_tip():
    mount = next(joint for joint in URDF.iter("joint") if joint.get("name") == "wrist_camera_joint").find("origin")
    place, axes = np.array(numbers(mount.get("xyz"))), rotation(numbers(mount.get("rpy")))
    tip, *fingers = (pixel([0, y, TIP_M], place, axes, sensor_of("wrist")) for y in (0, -0.04, 0.04))
    assert np.all((tip > 0) & (tip < 224)) and tip[0] == pytest.approx(112)
    assert fingers[0][0] > 112 > fingers[1][0] and np.all((np.array(fingers) > 0) & (np.array(fingers) < 224))


def test_every_topic_of_the_bridge_is_in_the_contract_or_the_outputs():
    arbiter = read_ros_parameters(GAZEBO / "parameters.yaml", "arbiter")
    from_gazebo = {spec.topic: spec.type for spec in (*CONTRACT.images, *CONTRACT.state) if spec.topic != "ee_pose"}
    to_gazebo = {arbiter[key]: "trajectory_msgs/msg/JointTrajectory" for key in ("output_topic", "gripper_topic")}
    for direction, topics in (("GZ_TO_ROS", from_gazebo), ("ROS_TO_GZ", to_gazebo)):
        entries = [entry for entry in BRIDGE if entry["direction"] == direction]
        assert {entry["ros_topic_name"]: entry["ros_type_name"] for entry in entries} == topics
    assert len(BRIDGE) == len(from_gazebo) + len(to_gazebo)


def test_every_topic_of_the_bridge_is_one_of_gazebo_with_its_type():
    types = {
        "sensor_msgs/msg/Image": "gz.msgs.Image",
        "sensor_msgs/msg/JointState": "gz.msgs.Model",
        "trajectory_msgs/msg/JointTrajectory": "gz.msgs.JointTrajectory",
    }
    topics = {element.text for root in (URDF, WORLD) for element in root.iter("topic")}
    assert {entry["gz_topic_name"] for entry in BRIDGE} == topics
    assert all(entry["gz_type_name"] == types[entry["ros_type_name"]] for entry in BRIDGE)


def test_the_plugins_move_every_joint_that_the_arbiter_commands():
    arbiter = read_ros_parameters(GAZEBO / "parameters.yaml", "arbiter")
    moved = {
        plugin.findtext("topic"): tuple(joint.text for joint in plugin.findall("joint_name"))
        for plugin in URDF.iter("plugin")
        if plugin.find("joint_name") is not None
    }
    assert moved[arbiter["output_topic"]] == CONTRACT.state_spec("joint_position").joints
    assert moved[arbiter["gripper_topic"]] == tuple(arbiter["gripper_joint"].split(","))
    assert arbiter["gripper_joint"].split(",") == list(FINGERS)


def test_the_cube_stands_on_the_table_within_reach():
    models = {model.get("name"): model for model in WORLD.findall("model")}
    cube, table = (numbers(models[name].findtext("pose")) for name in ("cube", "table"))
    side = numbers(models["cube"].find("link/collision/geometry/box").findtext("size"))[2]
    top = table[2] + numbers(models["table"].find("link/collision/geometry/box").findtext("size"))[2] / 2
    assert cube[2] - side / 2 == pytest.approx(top) == pytest.approx(0.0)
    assert side < 2 * 0.04 and float(models["cube"].findtext("link/inertial/mass")) == 0.05
    assert CONTRACT.limits.workspace_low[0] < cube[0] < CONTRACT.limits.workspace_high[0]
