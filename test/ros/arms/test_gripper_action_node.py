"""The node gripper_action as a process, beside a gripper that serves the action."""

import importlib.util
import subprocess
import time
from collections.abc import Callable

import pytest
import rclpy
from node_command import node_command
from rclpy.action import ActionServer
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Float64MultiArray

from apo_core.ros.qos import COMMANDS

WAIT_S = 60.0  # limit of a wait for something that will come
INSTALLED = importlib.util.find_spec("control_msgs") is not None


@pytest.mark.skipif(INSTALLED, reason="control_msgs is installed")
def test_without_the_action_type_the_node_ends_with_what_to_install(ros_domain):
    command = node_command("apo_teleop.gripper_action_node", {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 2
    assert "sudo apt-get install ros-$ROS_DISTRO-control-msgs" in done.stderr


@pytest.mark.skipif(not INSTALLED, reason="control_msgs is missing: apt-get install ros-$ROS_DISTRO-control-msgs")
def test_positions_become_goals_with_the_effort(ros):
    from control_msgs.action import GripperCommand

    node, goals = rclpy.create_node("gripper"), []
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def execute(handle):
        goals.append((handle.request.command.position, handle.request.command.max_effort))
        handle.succeed()
        return GripperCommand.Result(reached_goal=True)

    server = ActionServer(node, GripperCommand, "hand/gripper_action", execute)
    publisher = node.create_publisher(Float64MultiArray, "gripper/position", COMMANDS)

    def until(condition: Callable[[], object], position: float) -> None:
        """Repeats the position, as the arbiter does, until the condition holds."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s at {position}; goals {goals}"
            publisher.publish(Float64MultiArray(data=[position]))
            executor.spin_once(timeout_sec=0.05)

    parameters = {"action": "hand/gripper_action", "largest_effort": 7.0}
    process = subprocess.Popen(node_command("apo_teleop.gripper_action_node", parameters))
    try:
        until(lambda: goals, 0.04)
        until(lambda: len(goals) == 2, 0.0)
        for _ in range(20):  # the same position is no further goal
            publisher.publish(Float64MultiArray(data=[0.0]))
        until(lambda: len(goals) == 3, 0.04)
        assert goals == [(0.04, 7.0), (0.0, 7.0), (0.04, 7.0)]
    finally:
        process.kill()
        process.wait()
        server.destroy()
        node.destroy_node()
