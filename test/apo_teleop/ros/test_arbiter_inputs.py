"""Messages to calls of the control loop, with a node that keeps the callbacks."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from source_tree import ROOT

from apo_core.contract.contract import load_contract
from apo_core.contract.frames import Header
from apo_core.ros.conversions import to_stamp
from apo_core.ros.qos import sensors
from apo_interfaces.msg import AdapterStatus, OperatorCommand
from apo_teleop.ros.arbiter_inputs import ArbiterSubscriptions

STAMP = 3_000_000_001


class Node:
    """Keeps subscriptions by topic."""

    def __init__(self):
        self.is_active, self.callbacks, self.warnings, self.simulated = True, {}, [], False

    def create_subscription(self, kind, topic, callback, qos):
        self.callbacks[topic] = callback
        return SimpleNamespace(topic_name=f"/{topic}", msg_type=kind)

    def destroy_subscription(self, subscription):
        del self.callbacks[subscription.topic_name[1:]]

    def get_logger(self):
        return SimpleNamespace(warning=self.warnings.append)

    def get_clock(self):
        now = SimpleNamespace(nanoseconds=STAMP + 5)
        return SimpleNamespace(now=lambda: now, ros_time_is_active=self.simulated)


class Loop:
    """Keeps the calls; each is answered with its number."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, arguments))
            return len(self.calls)

        return call


@pytest.fixture
def cell(small_contract):
    """(node, loop, answers, interrupts, subscriptions) with the message info."""
    node, loop, answers, interrupts = Node(), Loop(), [], []
    subscriptions = ArbiterSubscriptions(
        node, small_contract, sensors("reliable"), loop, answers.append, interrupts.append, True
    )
    return SimpleNamespace(node=node, loop=loop, answers=answers, interrupts=interrupts, subscriptions=subscriptions)


def pose(frame_id="base"):
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = to_stamp(STAMP), frame_id
    message.pose.position.x, message.pose.orientation.w = 0.25, 1.0
    return message


def test_a_pose_is_passed_on_whole_and_answered(cell):
    before = time.monotonic_ns()
    cell.node.callbacks["ee_pose"](pose())
    ((name, (header, position, quaternion, steady_ns)),) = cell.loop.calls
    assert (name, header, position, quaternion) == ("on_pose", Header(STAMP, "base"), (0.25, 0, 0), (0, 0, 0, 1))
    assert before <= steady_ns == cell.subscriptions.pose_steady_ns
    assert (cell.answers, cell.interrupts, cell.node.warnings) == ([1], [], [])


def test_an_unnamed_frame_is_logged_once(cell):
    for _ in range(3):
        cell.node.callbacks["ee_pose"](pose(""))
    assert len(cell.node.warnings) == 1 and "header.frame_id is empty" in cell.node.warnings[0]


@pytest.mark.parametrize(("simulated", "wall_ns"), [(False, STAMP), (True, 77)])
def test_the_device_time_is_the_stamp_or_in_simulated_time_the_sending(cell, simulated, wall_ns):
    cell.node.simulated = simulated
    message = OperatorCommand(connected=True, active=True, values=[0.5] * 7, events=["clear"])
    message.header.stamp = to_stamp(STAMP)
    cell.node.callbacks["operator/command"](message, {"source_timestamp": 77})
    assert cell.subscriptions.device_wall_ns == wall_ns
    ((name, (_, connected, active, values, events, now_ns, _)),) = cell.loop.calls
    assert (name, connected, active, events, now_ns) == ("on_operator", True, True, ("clear",), STAMP + 5)
    np.testing.assert_array_equal(values, np.full(7, 0.5, np.float32))
    assert (cell.answers, cell.interrupts) == ([], [1])


def test_messages_to_an_inactive_node_are_dropped(cell):
    cell.node.is_active = False
    cell.node.callbacks["ee_pose"](pose())
    cell.node.callbacks["policy/adapter_status"](AdapterStatus(version=3))
    cell.node.callbacks["operator/command"](OperatorCommand(), {"source_timestamp": 0})
    assert not cell.loop.calls and not cell.answers and not cell.interrupts


def test_after_close_nothing_is_subscribed(cell):
    assert "/ee_pose" in cell.subscriptions.topics
    cell.subscriptions.close()
    assert not cell.node.callbacks


@pytest.mark.parametrize(
    ("arm", "topic", "joint"),
    [
        ("", "gripper/joint_states", "gripper_width"),
        ("arms/franka", "/joint_states", "fr3_finger_joint1"),
        ("arms/gazebo", "joint_states", "panda_finger_joint1"),
        ("arms/ur5e", "/joint_states", "robotiq_85_left_knuckle_joint"),
        ("arms/xarm7", "/xarm/joint_states", "drive_joint"),
    ],
)
def test_the_gripper_of_every_shipped_contract_is_measured(arm, topic, joint):
    node, positions = Node(), []
    contract = load_contract(ROOT / "config" / arm / "contract.yaml")
    publish = [].append
    ArbiterSubscriptions(node, contract, sensors("reliable"), Loop(), publish, publish, True, positions.append)
    node.callbacks[topic](JointState(name=["another"], position=[0.5]))
    node.callbacks[topic](JointState(name=["another", joint], position=[0.5, 0.03125]))
    assert positions == [0.03125]
