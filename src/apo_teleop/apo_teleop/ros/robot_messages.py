"""Messages to and from a robot: commands of every kind of controller, joint states and the description."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.duration import Duration as ClockDuration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from apo_core.contract.specs import StateSpec
from apo_core.errors import ObservationError
from apo_core.ros.conversions import array_to_pose, state_from_msg, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_teleop.outputs.base import ArmOutput
from apo_teleop.ros.input_watch import Arrival

_MESSAGES = {
    "twist": TwistStamped,
    "pose": PoseStamped,
    "position": Float64MultiArray,
    "joint_velocity": Float64MultiArray,
    "joint_position": Float64MultiArray,
    "joint_trajectory": JointTrajectory,
}


class RobotCommandPublisher:
    """Publishes arrays as the message of one kind of controller.

    Args:
        node: owns the publisher.
        kind: twist (6,), pose (7,), joint_velocity, joint_position or joint_trajectory (n,), position (1,).
        topic: of the controller.
        frame: of a twist or pose.
        joints: names, for the kinds that have joints.
        trajectory_time_s: time in which the point of a joint_trajectory is reached.
    """

    def __init__(
        self, node: Node, kind: str, topic: str, frame: str, joints: Sequence[str] = (), trajectory_time_s: float = 0.0
    ):
        self._node, self._kind, self.topic = node, kind, topic
        # one message for all commands: making a nested one takes longer than sending it
        self._message = _MESSAGES[kind]()
        if kind == "joint_trajectory":
            seconds, nanoseconds = divmod(round(trajectory_time_s * 1e9), 1_000_000_000)
            # no velocities: controllers reject a trajectory that does not end at rest
            point = JointTrajectoryPoint(time_from_start=Duration(sec=seconds, nanosec=nanoseconds))
            self._message.joint_names, self._message.points = list(joints), [point]
        elif kind in ("twist", "pose"):
            self._message.header.frame_id = frame
        self._publisher = node.create_publisher(_MESSAGES[kind], topic, COMMANDS)

    def publish(self, values: np.ndarray, stamp: Time) -> None:
        """Sends one command. Float64MultiArray has no stamp."""
        message, numbers = self._message, np.asarray(values, np.float64).tolist()
        if self._kind == "twist":
            linear, angular = message.twist.linear, message.twist.angular
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = numbers
        elif self._kind == "pose":
            message.pose = array_to_pose(values)
        elif self._kind == "joint_trajectory":
            message.points[0].positions = numbers
        else:
            message.data = numbers
        if not isinstance(message, Float64MultiArray):
            message.header.stamp = stamp
        self._publisher.publish(message)

    def flush(self, seconds: float) -> None:
        """Waits until every subscriber has acknowledged what was sent, at most so long."""
        self._publisher.wait_for_all_acked(ClockDuration(seconds=seconds))

    def close(self) -> None:
        """Ends the publisher."""
        self._node.destroy_publisher(self._publisher)


class RobotStateSubscriber:
    """Subscribes to what a joint output must know of the robot: joint states, and its description.

    Args:
        node: owns the subscriptions.
        joints: topic and names of the contract's joint_position.
        qos: of the joint states.
        output: receives both.
        description_topic: latched URDF; empty: not needed.
        lockstep: time is that of the stamps: a tick may take as long as it takes.
    """

    def __init__(
        self, node: Node, joints: StateSpec, qos: QoSProfile, output: ArmOutput, description_topic: str, lockstep: bool
    ):
        self._node, self._joints, self._output, self._lockstep = node, joints, output, lockstep
        self.arrival: Arrival | None = None  # the newest message with a joint of the arm
        self.others = ""  # what messages without one have; empty: none came
        self._subscriptions = [node.create_subscription(JointState, joints.topic, self._on_joints, qos)]
        if description_topic:
            self._subscriptions.append(
                node.create_subscription(String, description_topic, self._on_description, LATCHED)
            )

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _on_joints(self, message: JointState) -> None:
        # a robot may publish its gripper's joints on the same topic in messages of their own
        if self._joints.joints and not set(self._joints.joints) & set(message.name):
            have, wanted = ", ".join(message.name), ", ".join(self._joints.joints)
            self.others = f"a message of the topic has the joints {have}, the contract has {wanted}"
            return
        try:
            values, fault = state_from_msg(message, self._joints), ""
        except ObservationError as error:
            values, fault = None, str(error)
        stamp_ns = to_ns(message.header.stamp)
        self.arrival = Arrival(stamp_ns, time.monotonic_ns())
        self._output.on_joints(values, fault, measured_ns(self._node, stamp_ns, self._lockstep))

    def _on_description(self, message: String) -> None:
        self._output.on_description(message.data)


def measured_ns(node: Node, stamp_ns: int, lockstep: bool) -> int:
    """When the robot measured what has a stamp: steady time, in lockstep the stamp itself."""
    if lockstep:
        return stamp_ns
    # a driver that repeats an old measurement must not make it young
    return time.monotonic_ns() - max(0, node.get_clock().now().nanoseconds - stamp_ns)


def stamp_of(policy: str, kind: str, observation_ns: int, now_ns: int) -> Time:
    """Stamp of a command: `observation` or `now`; of a joint trajectory `now` is 0, as its controller expects."""
    if policy == "observation":
        return to_stamp(observation_ns)
    return Time() if kind == "joint_trajectory" else to_stamp(now_ns)
