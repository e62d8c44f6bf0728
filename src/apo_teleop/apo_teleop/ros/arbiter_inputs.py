"""Subscriptions of the arbiter, converted: observation, feedback, policy, operator."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from apo_core.contract.contract import Contract
from apo_core.contract.frames import Header, UnnamedFrames
from apo_core.contract.specs import StateSpec
from apo_core.errors import ObservationError
from apo_core.ros.action_chunk import chunk_from_msg
from apo_core.ros.conversions import state_from_msg, to_ns
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_core.types import OperatorEvent
from apo_interfaces.msg import ActionChunk as ActionChunkMessage
from apo_interfaces.msg import AdapterStatus, OperatorCommand
from apo_teleop.arbiter.control_loop import ControlLoop
from apo_teleop.arbiter.types import Decision
from apo_teleop.ros.input_watch import Arrival, MeasuredStream

_POSE, _FEEDBACK = "ee_pose", "feedback"
_GRIPPERS = ("gripper_width", "gripper_position")  # state keys of the contract


def measured_gripper(contract: Contract) -> StateSpec | None:
    """The state that measures the gripper as its output commands it, one joint's position; None: there is none."""
    for spec in contract.state:
        is_joint = spec.type == "sensor_msgs/msg/JointState" and spec.field == "position" and spec.size == 1
        if is_joint and spec.name in _GRIPPERS:
            return spec
    return None


class ArbiterSubscriptions:
    """Subscribes while the arbiter is active; passes every message to the loop, and its decision on.

    Args:
        node: owns the subscriptions. A message that arrives while it is not active is dropped: one that waits
            already would come after the last command.
        contract: topics of the observation and the feedback.
        measured: QoS of both.
        loop: receives the messages.
        answer: called with the decision on a message that a tick waits for.
        interrupt: called with the decision on a message of the operator, which may be between two ticks.
        with_info: whether the executor can give callbacks the message info.
        on_gripper: called with the position that `measured_gripper` has, m or rad; None: it is not needed.
    """

    def __init__(
        self,
        node: LifecycleBase,
        contract: Contract,
        measured: QoSProfile,
        loop: ControlLoop,
        answer: Callable[[Decision | None], None],
        interrupt: Callable[[Decision | None], None],
        with_info: bool,
        on_gripper: Callable[[float], None] | None = None,
    ):
        self._node, self._loop, self._answer, self._interrupt = node, loop, answer, interrupt
        self._unnamed = UnnamedFrames(contract)
        self.device_wall_ns = 0  # when the device's newest sample was taken, by the system's clock; 0: none yet
        self.pose_steady_ns = 0  # when the newest observation arrived; 0: none yet
        self.arrivals: dict[str, Arrival] = {}  # the newest of each of `measured`
        pose, feedback = contract.state_spec("ee_pose"), contract.feedback
        self.measured = {_POSE: MeasuredStream(pose.topic, pose.type)}
        # of two messages that wait, the announcement of an adapter comes before its chunk
        wanted = [
            (AdapterStatus, "policy/adapter_status", self._on_adapter, LATCHED),
            (PoseStamped, pose.topic, self._on_pose, measured),
            (ActionChunkMessage, "policy/chunk", self._on_chunk, COMMANDS),
            (OperatorCommand, "operator/command", self._on_timed if with_info else self._on_operator, COMMANDS),
        ]
        if feedback is not None:
            wanted.append((TwistStamped, feedback.topic, self._on_feedback, measured))
            self.measured[_FEEDBACK] = MeasuredStream(feedback.topic, feedback.type)
        self._subscriptions = [node.create_subscription(*arguments) for arguments in wanted]
        (self._operator,) = (one for one in self._subscriptions if one.msg_type is OperatorCommand)
        # arm and gripper may share a topic: several publishers of it are no fault
        self._of_gripper = []
        gripper = measured_gripper(contract)
        if on_gripper is not None and gripper is not None:
            take = partial(self._on_gripper, gripper, on_gripper)
            self._of_gripper.append(node.create_subscription(JointState, gripper.topic, take, measured))

    @property
    def topics(self) -> list[str]:
        """Full names of the subscribed topics."""
        return [subscription.topic_name for subscription in self._subscriptions]

    @property
    def operator_topic(self) -> str:
        """Full name of the topic of the operator's device."""
        return self._operator.topic_name

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in (*self._subscriptions, *self._of_gripper):
            self._node.destroy_subscription(subscription)

    def _header(self, what: str, message: Any) -> Header:
        """Stamp and frame of an input; logs once that it names no frame."""
        header = Header(to_ns(message.header.stamp), message.header.frame_id)
        if text := self._unnamed.warning(what, header):
            self._node.get_logger().warning(text)
        return header

    def _on_adapter(self, message: AdapterStatus) -> None:
        if self._node.is_active:
            self._answer(self._loop.on_adapter((message.version,), time.monotonic_ns()))

    def _on_pose(self, message: PoseStamped) -> None:
        if not self._node.is_active:
            return
        self.pose_steady_ns = time.monotonic_ns()
        p, q = message.pose.position, message.pose.orientation
        header = self._header(_POSE, message)
        self.arrivals[_POSE] = Arrival(header.stamp_ns, self.pose_steady_ns)
        self._answer(self._loop.on_pose(header, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w), self.pose_steady_ns))

    def _on_gripper(self, spec: StateSpec, take: Callable[[float], None], message: JointState) -> None:
        if self._node.is_active:
            with contextlib.suppress(ObservationError):  # policy and recorder report what does not fit
                take(float(state_from_msg(message, spec)[0]))

    def _on_feedback(self, message: TwistStamped) -> None:
        if not self._node.is_active:
            return
        v, w = message.twist.linear, message.twist.angular
        twist = (v.x, v.y, v.z, w.x, w.y, w.z)
        header, now_ns = self._header(_FEEDBACK, message), time.monotonic_ns()
        self.arrivals[_FEEDBACK] = Arrival(header.stamp_ns, now_ns)
        self._loop.on_feedback(header, twist, now_ns)

    def _on_chunk(self, message: ActionChunkMessage) -> None:
        if not self._node.is_active:
            return
        header, chunk = self._header("policy/chunk", message), chunk_from_msg(message)
        self._answer(self._loop.on_chunk(header, chunk, message.fault, time.monotonic_ns()))

    def _on_timed(self, message: OperatorCommand, info: dict) -> None:
        # simulated time is too coarse to measure with; then DDS's stamp of the sending counts
        self._take(message, info["source_timestamp"] if self._node.get_clock().ros_time_is_active else None)

    def _on_operator(self, message: OperatorCommand) -> None:
        self._take(message, None)

    def _take(self, message: OperatorCommand, sent_ns: int | None) -> None:
        if not self._node.is_active:
            return
        header = self._header("operator/command", message)
        self.device_wall_ns = header.stamp_ns if sent_ns is None else sent_ns
        decision = self._loop.on_operator(
            header,
            message.connected,
            message.active,
            np.array(message.values, np.float32),
            OperatorEvent.known(message.events),
            self._node.get_clock().now().nanoseconds,
            time.monotonic_ns(),
        )
        self._interrupt(decision)
