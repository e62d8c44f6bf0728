"""ROS node: publishes the contract's ee_pose from the joint states, for arms whose drivers publish no pose."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from apo_core.contract.contract import load_contract
from apo_core.errors import ObservationError
from apo_core.ros.conversions import array_to_pose, state_from_msg, to_ns
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_teleop.outputs.tip_pose import TipPose, TipPoseConfig

_QUIET_S = 5.0  # between equal log lines


class TipPoseNode(Node):
    """One pose for each joint state, with its stamp, at `largest_rate_hz` at most."""

    def __init__(self) -> None:
        super().__init__("tip_pose")
        config = declare(self, TipPoseConfig)
        contract = load_contract(config.contract_file)
        self._tip = TipPose(config, contract)
        self._published, self._problem = 0, "no joint states yet"
        self._message = PoseStamped()
        self._message.header.frame_id = contract.frame_id
        qos = sensors(config.sensor_reliability)
        self._publisher = self.create_publisher(PoseStamped, self._tip.pose.topic, qos)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_subscription(JointState, self._tip.joints.topic, self._on_joints, qos)
        if not config.urdf_file:
            self.create_subscription(String, config.robot_description_topic, self._on_description, LATCHED)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_description(self, message: String) -> None:
        fault = self._tip.on_description(message.data)
        if fault:
            self.get_logger().error(fault)

    def _on_joints(self, message: JointState) -> None:
        # a robot may publish its gripper's joints on the same topic in messages of their own
        if not set(self._tip.joints.joints) & set(message.name):
            return
        try:
            pose = self._tip.at(state_from_msg(message, self._tip.joints), to_ns(message.header.stamp))
        except ObservationError as error:
            self._problem = str(error)
            self.get_logger().error(f"no pose: {error}", throttle_duration_sec=_QUIET_S)
            return
        self._problem = ""
        if pose is not None:
            self._message.header.stamp, self._message.pose = message.header.stamp, array_to_pose(pose)
            self._publisher.publish(self._message)
            self._published += 1

    def _publish_diagnostics(self) -> None:
        level, message = (WARN, self._problem) if self._problem else (OK, "publishes")
        self._diagnostics.publish(diagnostic_array(self, level, message, {"poses": str(self._published)}))


def main() -> None:
    """Console script."""
    raise SystemExit(run(TipPoseNode))


if __name__ == "__main__":
    main()
