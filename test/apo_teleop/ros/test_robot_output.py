"""Commands of each kind to arm and gripper, and poses to the output, with a node that keeps what is published."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.factory import make_output
from apo_teleop.ros.robot_output import RobotOutput

VALUES = np.array([0.1, 0, 0, 0, 0, 0.2, 1.0], np.float32)
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
STAMP = 5_000_000_000


class Node:
    """Keeps messages by topic; ROS time is STAMP."""

    def __init__(self):
        self.sent: dict[str, list] = {}

    def create_publisher(self, kind, topic, qos):
        # one message object serves all commands: a copy of what it holds now
        return SimpleNamespace(publish=lambda message: self.sent.setdefault(topic, []).append(str(message)))

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=STAMP))

    def get_logger(self):
        return logging.getLogger("robot")


@pytest.fixture
def make(small_contract):
    """(output parameters) -> (node, robot output in lockstep)."""

    def made(**parameters):
        node, config = Node(), ArbiterConfig(OutputConfig(**parameters), lockstep=True)
        output = make_output(config.robot, small_contract)
        return node, RobotOutput(node, config, small_contract, output, lambda value: 0.04 * (1 - value))

    return made


def test_an_arm_and_a_gripper_get_a_message_each(make):
    node, robot = make()
    assert robot.move(VALUES, STAMP, STAMP)
    robot.grip(VALUES, STAMP)
    assert robot.topics == ("cartesian_command", "gripper_command")
    assert [len(node.sent[topic]) for topic in robot.topics] == [1, 1]
    assert "sec=5" in node.sent["cartesian_command"][0] and "positions=[0.0]" in node.sent["gripper_command"][0]


def test_without_outputs_nothing_is_sent(make):
    node, robot = make(output="none", gripper_output="none")
    robot.on_pose(STAMP, (0.0, 0.0, 0.5), UPRIGHT)
    assert not robot.move(VALUES, STAMP, STAMP)
    robot.grip(VALUES, STAMP)
    assert not node.sent and robot.topics == () and robot.fault(STAMP) == "" and robot.share() == 1.0
    assert robot.summary() == {"output": "none"}


def test_a_pose_target_waits_for_a_pose_and_starts_there(make, caplog):
    caplog.set_level(logging.INFO)
    node, robot = make(output="pose", gripper_output="none")
    assert robot.fault(STAMP) == "no end-effector pose to begin a pose target at"
    assert not robot.move(VALUES, STAMP, STAMP)
    robot.on_pose(STAMP, (0.0, 0.0, 0.5), UPRIGHT)
    assert robot.fault(STAMP) == ""
    assert robot.move(VALUES, STAMP, STAMP) and "z=0.5" in node.sent["cartesian_command"][0]
    assert robot.summary()["output_fault"] == "" and robot.summary()["output_held_at_lead"] == "0"
    faults = [record.getMessage() for record in caplog.records]
    assert faults == [
        "output pose: no end-effector pose to begin a pose target at",
        "output pose: can move the arm again",
    ]


def test_after_a_restart_the_pose_is_unknown(make):
    _, robot = make(output="pose", gripper_output="none")
    robot.on_pose(STAMP, (0.0, 0.0, 0.5), UPRIGHT)
    robot.restart()
    assert robot.fault(STAMP)
