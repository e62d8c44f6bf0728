"""ROS node: sends a gripper that has only an action, such as the Franka Hand, the arbiter's positions as goals."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Float64MultiArray

from apo_core.errors import ConfigError
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS
from apo_teleop.outputs.gripper_goals import GripperActionConfig, GripperGoals

_QUIET_S = 5.0  # between equal log lines


def _gripper_command() -> Any:
    """The action's type; it is no part of the ROS wheels.

    Raises:
        ConfigError: control_msgs is not installed.
    """
    try:
        from control_msgs.action import GripperCommand
    except ImportError as error:
        fault = f"control_msgs is missing ({error}): sudo apt-get install ros-$ROS_DISTRO-control-msgs"
        raise ConfigError("node gripper_action", [fault]) from None
    return GripperCommand


class GripperActionNode(Node):
    """A goal for each new position; a goal that is not accepted is sent again."""

    def __init__(self) -> None:
        super().__init__("gripper_action")
        self._config = declare(self, GripperActionConfig)
        self._type = _gripper_command()
        self._goals = GripperGoals(self._config)
        self._sent, self._problem = 0, "no position yet"
        self._client = ActionClient(self, self._type, self._config.action)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_subscription(Float64MultiArray, self._config.command_topic, self._on_position, COMMANDS)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_position(self, message: Float64MultiArray) -> None:
        if not self._client.server_is_ready():
            self._report(f"no gripper serves the action {self._config.action}")
            return
        if len(message.data) != 1:
            self._report(f"{self._config.command_topic} has {len(message.data)} values, must be 1")
            return
        position = self._goals.goal(message.data[0], time.monotonic_ns())
        if position is None:
            return
        goal = self._type.Goal()
        goal.command.position, goal.command.max_effort = position, self._config.largest_effort
        self._client.send_goal_async(goal).add_done_callback(self._on_answer)
        self._sent += 1

    def _on_answer(self, future: Future) -> None:
        answer = future.result()
        if answer is not None and answer.accepted:
            self._problem = ""
            return
        self._goals.failed()
        self._report(f"the gripper did not accept a goal of {self._config.action}")

    def _report(self, problem: str) -> None:
        self._problem = problem
        self.get_logger().error(problem, throttle_duration_sec=_QUIET_S)

    def _publish_diagnostics(self) -> None:
        level, message = (WARN, self._problem) if self._problem else (OK, "sends goals")
        self._diagnostics.publish(diagnostic_array(self, level, message, {"goals": str(self._sent)}))


def main() -> None:
    """Console script."""
    raise SystemExit(run(GripperActionNode))


if __name__ == "__main__":
    main()
