"""A robot that does not move and a subscriber around the operator's node as a process; for tests over DDS."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import SetBool, Trigger

from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import array_to_pose, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import ControlStatus, OperatorCommand, TaskStatus

CONTRACT_FILE = Path(__file__).parents[3] / "config" / "contract.yaml"
PERIOD_NS = load_contract(CONTRACT_FILE).period_ns
WAIT_S = 30.0  # limit of a wait for something that will come
HAND = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
CUBE = np.array([0.1, 0.05, 0.82, 0.0, 0.0, 0.0, 1.0])
FORWARD = [0, 1, 0, 0, 0, 0]  # of preset gamepad: left stick up
REST = [0] * 6


def moves(sample: OperatorCommand) -> bool:
    return sample.active and sample.values[0] > 0.3


def rests(sample: OperatorCommand) -> bool:
    return sample.connected and not sample.active


def is_lost(sample: OperatorCommand) -> bool:
    return not sample.connected and not sample.active and not any(sample.values)


def is_estop(sample: OperatorCommand) -> bool:
    return list(sample.events) == ["estop"]


class Cell:
    """A robot that does not move, and a subscriber."""

    def __init__(self):
        self.node = rclpy.create_node("cell")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        qos = sensors("reliable")
        self.pose = self.node.create_publisher(PoseStamped, "ee_pose", qos)
        self.gripper = self.node.create_publisher(JointState, "gripper/joint_states", qos)
        self.objects = self.node.create_publisher(PoseArray, "ground_truth/objects", qos)
        self.status = self.node.create_publisher(TaskStatus, "task/status", COMMANDS)
        self.samples: list[OperatorCommand] = []
        self.node.create_subscription(OperatorCommand, "operator/command", self.samples.append, COMMANDS)
        self.joy = None
        self.diagnostics: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, COMMANDS)
        self.statuses: list[ControlStatus] = []
        self.node.create_subscription(ControlStatus, "control/status", self.statuses.append, COMMANDS)
        self.clear = self.node.create_client(Trigger, "arbiter/clear")
        self._enable = self.node.create_client(SetBool, "teleop/enable")

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}; last: {self.samples[-1:]}"
            self._executor.spin_once(timeout_sec=0.01)

    def send_pose(self, tick: int) -> None:
        message = PoseStamped(pose=array_to_pose(HAND))
        message.header.stamp = to_stamp(tick * PERIOD_NS)
        self.pose.publish(message)

    def send_pose_now(self) -> None:
        message = PoseStamped(pose=array_to_pose(HAND))
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.pose.publish(message)

    def answer(self, tick: int, **status) -> OperatorCommand:
        """Sends a whole tick of the simulation; returns the operator's answer."""
        seen = len(self.samples)
        self.send_pose(tick)
        gripper = JointState(name=["gripper_width"], position=[0.08])
        objects = PoseArray(poses=[array_to_pose(CUBE)])
        task = TaskStatus(trial=1, seed=3, step=tick, **{"running": True, **status})
        for message in (gripper, objects, task):
            message.header.stamp = to_stamp(tick * PERIOD_NS)
        self.gripper.publish(gripper)
        self.objects.publish(objects)
        self.status.publish(task)
        self.spin_until(lambda: len(self.samples) > seen, f"the operator's answer to tick {tick}")
        assert to_ns(self.samples[-1].header.stamp) == tick * PERIOD_NS
        return self.samples[-1]

    def publish_joy(self, axes, buttons=(), ahead_s: float = 0.0) -> None:
        message = Joy(axes=list(map(float, axes)), buttons=list(buttons))
        message.header.stamp = to_stamp(self.node.get_clock().now().nanoseconds + round(ahead_s * 1e9))
        self.joy.publish(message)

    def until_joy(self, axes, condition: Callable[[OperatorCommand], bool], what: str, **other) -> OperatorCommand:
        """Publishes as joy_node repeats itself, until there is a sample that fulfils the condition."""
        seen = len(self.samples)
        self.repeat_until(
            lambda: self.publish_joy(axes, **other), lambda: any(map(condition, self.samples[seen:])), what
        )
        return next(filter(condition, self.samples[seen:]))

    def repeat_until(
        self, send: Callable[[], None], condition: Callable[[], bool], what: str, period_s: float = 0.016
    ) -> None:
        """Sends again and again, as a device does, until the condition holds."""
        due = 0.0

        def holds() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                send()
                due = time.monotonic() + period_s
            return condition()

        self.spin_until(holds, what)

    def rest_joy(self, seconds: float = 0.5) -> None:
        """Publishes a joystick at rest until the node has reported for so long that it is; then it may move."""
        self.until_ready_to_move(lambda: self.publish_joy([0] * 6), seconds)

    def until_ready_to_move(self, send_rest: Callable[[], None], seconds: float = 0.5) -> None:
        """Sends that the device rests until the node has reported so for this long."""
        rest_ns: list[int] = []
        seen = len(self.samples)

        def has_rested() -> bool:
            nonlocal seen, rest_ns
            for sample in self.samples[seen:]:
                rest_ns = [*rest_ns, to_ns(sample.header.stamp)] if rests(sample) else []
            seen = len(self.samples)
            return bool(rest_ns) and rest_ns[-1] - rest_ns[0] > seconds * 1e9

        self.repeat_until(send_rest, has_rested, "a resting device")

    def until_diagnosed(self, send: Callable[[], None], level: bytes, message: str) -> dict[str, str]:
        """Key and value of the first diagnosis from now on with this level and a message that has these words."""
        seen = len(self.diagnostics)

        def found() -> list[DiagnosticArray]:
            return [d for d in self.diagnostics[seen:] if d.status[0].level == level and message in d.status[0].message]

        self.repeat_until(send, lambda: bool(found()), f"the diagnosis {message}")
        assert found()[0].status[0].name == "teleop"
        return {pair.key: pair.value for pair in found()[0].status[0].values}

    def enable(self, enabled: bool) -> None:
        self.spin_until(self._enable.service_is_ready, "service teleop/enable")
        future = self._enable.call_async(SetBool.Request(data=enabled))
        self.spin_until(future.done, "the answer of teleop/enable")
        assert future.result().success

    def until_sample(self, condition: Callable[[OperatorCommand], bool], what: str) -> OperatorCommand:
        """The first sample from now on that fulfils the condition."""
        seen = len(self.samples)
        self.spin_until(lambda: any(map(condition, self.samples[seen:])), what)
        return next(filter(condition, self.samples[seen:]))
