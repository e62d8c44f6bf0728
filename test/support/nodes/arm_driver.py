"""Simulated drivers of the arms in config/arms: their topics, types, names and QoS; and an operator beside them."""

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import rclpy
from arm_chains import Chain
from geometry_msgs.msg import PoseStamped
from mujoco_arm import STEP_S, MujocoArm
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from apo_core.ros.conversions import array_to_pose
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import ActionCommand, OperatorCommand
from apo_teleop.outputs.kinematics import Arm

WAIT_S = 90.0  # limit of a wait for something that will come
RATE_HZ = 60.0  # of the reports
SYSTEM_DEFAULT = QoSProfile(depth=10)
EVERY = QoSProfile(depth=10_000)  # a pause of this process loses no point


class Motion(Protocol):
    """What moves the joints."""

    names: tuple[str, ...]  # of every joint that is reported
    positions: np.ndarray  # (n,) rad (m), in the order of `names`
    velocities: np.ndarray  # (n,)

    def follow(self, names: list[str], positions: list[float], seconds: float) -> None: ...

    def advance(self, seconds: float) -> None: ...


class Interpolated:
    """A joint_trajectory_controller on a position interface: straight to the newest point, then at rest."""

    def __init__(self, chain: Chain, gripper: tuple[str, ...]):
        self.names, self._arm = (*chain.joints, *gripper), len(chain.joints)
        self.positions = np.array([*chain.start, *[0.0] * len(gripper)])
        self.velocities = np.zeros(len(self.names))
        self._target, self._left_s = self.positions[: self._arm].copy(), 0.0

    def follow(self, names: list[str], positions: list[float], seconds: float) -> None:
        self._target = np.array([positions[names.index(name)] for name in self.names[: self._arm]])
        self._left_s = seconds

    def advance(self, seconds: float) -> None:
        share = 1.0 if self._left_s <= seconds else seconds / self._left_s
        step = (self._target - self.positions[: self._arm]) * share
        self._left_s = max(0.0, self._left_s - seconds)
        self.positions[: self._arm] += step
        self.velocities[: self._arm] = step / seconds


class Physical:
    """The arm of Gazebo, by MuJoCo."""

    def __init__(self) -> None:
        self.arm, self._due_s = MujocoArm(), 0.0
        self.names = tuple(self.arm.joints)

    @property
    def positions(self) -> np.ndarray:
        return self.arm.positions

    @property
    def velocities(self) -> np.ndarray:
        return self.arm.velocities

    def follow(self, names: list[str], positions: list[float], seconds: float) -> None:
        self.arm.set_targets(names, positions)

    def advance(self, seconds: float) -> None:
        self._due_s += seconds
        while self._due_s >= STEP_S:
            self._due_s -= STEP_S
            self.arm.step()


class Driver:
    """Reports joints, description and, where the driver has it, the pose; takes trajectories; is an operator too.

    Args:
        motion: moves the joints.
        kinematics: of the arm's own joints.
        joint_topic, command_topic: of the driver.
        gripper: topic and type of the gripper's command.
        urdf: published on /robot_description; empty: not published.
        pose: topic and frame of a best-effort pose; empty: the driver has none.
    """

    def __init__(
        self,
        motion: Motion,
        kinematics: Arm,
        joint_topic: str,
        command_topic: str,
        gripper: tuple[str, type],
        urdf: str = "",
        pose: tuple[str, str] = ("", ""),
    ):
        self.node = rclpy.create_node("driver")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.motion, self.kinematics, (pose_topic, self._frame) = motion, kinematics, pose
        self._joints = self.node.create_publisher(JointState, joint_topic, SYSTEM_DEFAULT)
        self._operator = self.node.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self._enable = self.node.create_client(SetBool, "arbiter/enable")
        self._pose = None
        if pose_topic:
            best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._pose = self.node.create_publisher(PoseStamped, pose_topic, best_effort)
        if urdf:
            self._description = self.node.create_publisher(String, "/robot_description", LATCHED)
            self._description.publish(String(data=urdf))
        self.points: list[np.ndarray] = []  # (n,) of each trajectory, in the order of the kinematics
        self.rejected: list[str] = []
        self.gripper: list = []
        self.commands: list[ActionCommand] = []
        self.node.create_subscription(JointTrajectory, command_topic, self._on_trajectory, EVERY)
        self.node.create_subscription(gripper[1], gripper[0], self._on_gripper, SYSTEM_DEFAULT)
        self.node.create_subscription(ActionCommand, "command", self.commands.append, COMMANDS)
        self.values = np.zeros(7)  # of the operator's device; zero: at rest
        self.reports_joints = True
        self._last_s = time.monotonic()

    @property
    def tip(self) -> np.ndarray:
        """(3,) m, where the arm is."""
        return self.kinematics.at(self._arm_positions()).position

    def target(self, i: int = -1) -> np.ndarray:
        """(3,) m, where a point of a trajectory leads the tip."""
        return self.kinematics.at(self.points[i]).position

    def _arm_positions(self) -> np.ndarray:
        positions = dict(zip(self.motion.names, self.motion.positions, strict=True))
        return np.array([positions[name] for name in self.kinematics.joints])

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """As the joint_trajectory_controller: all joints, a future end, at rest there; stamp 0 starts it at once."""
        (point,) = message.points
        seconds = point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
        if sorted(message.joint_names) != sorted(self.kinematics.joints) or seconds <= 0 or any(point.velocities):
            self.rejected.append(str(message))
            return
        if (message.header.stamp.sec, message.header.stamp.nanosec) != (0, 0):
            self.rejected.append(f"stamp {message.header.stamp}")
        self.motion.follow(list(message.joint_names), list(point.positions), seconds)
        by_name = dict(zip(message.joint_names, point.positions, strict=True))
        self.points.append(np.array([by_name[name] for name in self.kinematics.joints]))

    def _on_gripper(self, message: JointTrajectory | Float64MultiArray) -> None:
        if isinstance(message, JointTrajectory):
            self.motion.follow(list(message.joint_names), list(message.points[0].positions), 0.1)
            message = Float64MultiArray(data=message.points[0].positions)
        self.gripper.append(list(message.data))

    def send(self) -> None:
        """Reports once, and the operator's sample."""
        now_s = time.monotonic()
        self.motion.advance(max(now_s - self._last_s, 1e-4))
        self._last_s, stamp = now_s, self.node.get_clock().now().to_msg()
        names = list(self.motion.names)
        joints = JointState(
            name=names[::-1],
            position=self.motion.positions[::-1].tolist(),
            velocity=self.motion.velocities[::-1].tolist(),
        )
        joints.header.stamp = stamp
        if self.reports_joints:
            self._joints.publish(joints)
        if self._pose is not None:
            posture = self.kinematics.at(self._arm_positions())
            pose = PoseStamped(pose=array_to_pose(np.concatenate([posture.position, posture.quaternion])))
            pose.header.stamp, pose.header.frame_id = stamp, self._frame
            self._pose.publish(pose)
        active = bool(np.any(self.values[:6]))
        sample = OperatorCommand(device="spacemouse", connected=True, active=active, values=self.values.tolist())
        sample.header.stamp = stamp
        self._operator.publish(sample)

    def spin_until(self, condition: Callable[[], object], what: str) -> None:
        """Reports at RATE_HZ until the condition holds."""
        end, due = time.monotonic() + WAIT_S, 0.0
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}; last: {self.commands[-1:]}"
            if time.monotonic() >= due:
                due = time.monotonic() + 1.0 / RATE_HZ
                self.send()
            self._executor.spin_once(timeout_sec=0.005)

    def enable(self) -> None:
        """Calls the service arbiter/enable."""
        self.spin_until(self._enable.service_is_ready, "the service arbiter/enable")
        future = self._enable.call_async(SetBool.Request(data=True))
        self.spin_until(future.done, "the answer of arbiter/enable")
        assert future.result().success, future.result().message

    def until_source(self, source: str, reason: str = "") -> None:
        """Waits for a command of that source from now on."""
        seen = len(self.commands)
        self.spin_until(
            lambda: any(c.source == source and reason in ("", c.reason) for c in self.commands[seen:]),
            f"{source} {reason}",
        )

    def until_rest(self) -> None:
        """Waits until the target stays and the arm is at it."""

        def rests() -> bool:
            recent = self.points[-10:]
            return len(recent) == 10 and np.ptp(recent, axis=0).max() < 1e-9 and np.linalg.norm(self._gap()) < 1e-3

        self.spin_until(rests, "rest")

    def _gap(self) -> np.ndarray:
        return self._arm_positions() - self.points[-1]
