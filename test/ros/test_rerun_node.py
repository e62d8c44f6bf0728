"""The rerun stream as a process over DDS, read back from its file."""

import subprocess

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from node_command import node_command
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from spinning import spin_until

from apo_core.ros.conversions import image_to_msg, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import ActionCommand, ActionDoubt

rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")
rerun = pytest.importorskip("rerun", reason="rerun-sdk is missing: pip install -r requirements/view.in")

WAIT_S = 30.0
NODE = "apo_console.viewers.rerun_node"


class Robot:
    def __init__(self):
        self.node = rclpy.create_node("robot")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.sent = 0
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS)
        self.images = self.node.create_publisher(Image, "agentview/image_raw", sensors("reliable"))
        self.poses = self.node.create_publisher(PoseStamped, "ee_pose", sensors("reliable"))
        self.commands = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self.doubts = self.node.create_publisher(ActionDoubt, "policy/doubt", COMMANDS)

    def _on_diagnostics(self, message):
        self.sent = int({pair.key: pair.value for pair in message.status[0].values}["messages"])

    def until(self, condition, what):
        spin_until(self.executor, condition, what, WAIT_S)


@pytest.fixture
def robot(ros):
    made = Robot()
    yield made
    made.node.destroy_node()


def column(recording, entity, part):
    table = recording.view(index="tick", contents=entity).select().read_all()
    (name,) = [name for name in table.column_names if name.endswith(part)]
    return [row[0] for row in table.column(name).to_pylist() if row]


def test_a_running_robot_becomes_a_recording(robot, tmp_path, meet):
    path = tmp_path / "live.rrd"
    given = {"contract_file": "config/contract.yaml", "viewer": "file", "file": str(path)}
    process = subprocess.Popen(node_command(NODE, given))
    meet(robot.node, "rerun", robot.until)
    stamp = to_stamp(5_000_000_000)
    robot.images.publish(image_to_msg(np.full((84, 84, 3), 90, np.uint8), 5_000_000_000, "camera"))
    robot.poses.publish(PoseStamped())
    for tick, source in ((1, "POLICY"), (2, "POLICY"), (3, "HUMAN")):
        command = ActionCommand(tick=tick, source=source, reason="why", values=[0.5] + [0.0] * 6)
        command.header.stamp = stamp
        robot.commands.publish(command)
    robot.doubts.publish(ActionDoubt(entropy=1.5, log_prob=float("nan")))
    robot.until(lambda: robot.sent == 6, "six messages sent")
    process.terminate()
    assert process.wait(WAIT_S) == 0
    recording = rerun.dataframe.load_recording(path)
    entities = {one.entity_path for one in recording.schema().component_columns()}
    assert {"/cameras/agentview", "/state/ee_pose/0", "/action/vx/executed", "/policy/entropy"} <= entities
    assert not {"/policy/log_prob", "/action/vx/human"} & entities
    assert column(recording, "/action/vx/executed", "Scalar") == [0.5, 0.5, 0.5]
    # a line for each change
    assert column(recording, "/control", "Text") == ["POLICY: why", "HUMAN: why"]


def test_a_viewer_that_does_not_run_is_named(ros):
    given = {"contract_file": "config/contract.yaml", "viewer": "running", "port": 1}
    done = subprocess.run(node_command(NODE, given), capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 2
    assert "no viewer answers on 127.0.0.1:1: start `rerun`" in done.stderr
