"""What a fault sends on a topic, message by message: garbage made of the newest sound message, or another time."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64
from trajectory_msgs.msg import JointTrajectory

from apo_bringup.chaos import garbage
from apo_core.ros.conversions import to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import ActionChunk, ActionCommand, AdapterStatus, EpisodeEvent, OperatorCommand, TaskStatus

TYPES: dict[str, type] = {
    "ee_pose": PoseStamped,
    "policy/chunk": ActionChunk,
    "policy/adapter_status": AdapterStatus,
    "operator/command": OperatorCommand,
    "command": ActionCommand,
    "task/status": TaskStatus,
    "recorder/event": EpisodeEvent,
    "agentview/image_raw": Image,
    "wrist/image_raw": Image,
    "joint_states": JointState,
    "gripper/joint_states": JointState,
    "ground_truth/objects": PoseArray,
    "cartesian_command": TwistStamped,
    "gripper_command": JointTrajectory,
    "estop": Bool,
    "/clock": Clock,
}
_LATCHED = ("policy/adapter_status",)
# those whose newest sound message garbage is made of
MODELS = (
    "ee_pose",
    "policy/chunk",
    "policy/adapter_status",
    "operator/command",
    "command",
    "task/status",
    "cartesian_command",
    "gripper/joint_states",
)


class SoundMessages:
    """The newest message of each topic, as the stack sends it; what faults send is none."""

    def __init__(self) -> None:
        self._newest: dict[str, Any] = {}
        self.sent_poses: set[int] = set()  # stamps of poses that a fault sent
        self.time_ns = 0  # of /clock, as the simulation sends it

    def put(self, topic: str, message: Any) -> None:
        """A message of the topic has arrived."""
        if topic == "ee_pose" and to_ns(message.header.stamp) in self.sent_poses:
            return
        if topic == "command" and message.reason == garbage.FOREIGN:
            return
        if topic == "policy/chunk" and not garbage.is_usable(message):
            return
        self._newest[topic] = message

    def of(self, topic: str) -> Any:
        """A message like the newest of the topic, of now."""
        message = copy.deepcopy(self._newest.get(topic)) or TYPES[topic]()
        if isinstance(message, Image) and not message.data:
            message.height, message.width, message.encoding, message.step = 84, 84, "rgb8", 84 * 3
            message.data = bytes(84 * 84 * 3)
        if hasattr(message, "header"):
            message.header.stamp = to_stamp(self.time_ns)
        return message


class GarbageSource:
    """Sends one message a call.

    Args:
        publisher: of the topic; of std_msgs/Float64 for the style `wrong_type`.
        topic: see TYPES.
        style: see `schedule.VALUES`; `stop` requests an emergency stop.
        rng: draws what is sent.
        sound: what garbage is made of.
        sends_pose: takes the stamp of each pose before it is sent.
    """

    def __init__(
        self,
        publisher: Publisher,
        topic: str,
        style: str,
        rng: random.Random,
        sound: SoundMessages,
        sends_pose: Callable[[int], None],
    ):
        self._publisher, self._topic, self._style, self._rng = publisher, topic, style, rng
        self._sound, self._sends_pose = sound, sends_pose

    def __call__(self) -> None:
        """Sends the next message."""
        if self._style == "wrong_type":
            self._publisher.publish(Float64(data=self._rng.random()))
        elif self._style == "stop":
            self._publisher.publish(Bool(data=True))
        elif self._style == "raw":
            self._send_bytes()
        else:
            self._send_message()

    def _send_bytes(self) -> None:
        message = self._sound.of(self._topic)
        is_command = self._topic == "command"
        if is_command:
            message.reason = garbage.FOREIGN
        data = garbage.mangled(serialize_message(message), self._rng)
        if not is_command or not _is_anothers_command(data):
            self._publisher.publish(data)

    def _send_message(self) -> None:
        message, rng = self._sound.of(self._topic), self._rng
        if self._style == "extreme":
            garbage.fill(message, rng)
        elif self._style == "mutated":
            garbage.mutate(message, rng)
        elif self._style == "not_finite":
            garbage.spoil_numbers(message, rng)
        elif self._style == "empty":
            message = TYPES[self._topic]()
        elif hasattr(message, "header"):
            if self._style == "frame":
                message.header.frame_id = rng.choice(("world", "camera", "x" * 1000))
            else:
                ahead_s = rng.uniform(0.5, 100.0) * (1 if self._style == "future" else -1)
                message.header.stamp = to_stamp(max(0, self._sound.time_ns + round(ahead_s * 1e9)))
        if self._topic == "command":
            message.reason = garbage.FOREIGN
        if self._topic == "ee_pose":
            stamp_ns = to_ns(message.header.stamp)
            self._sound.sent_poses.add(stamp_ns)
            self._sends_pose(stamp_ns)
        self._publisher.publish(message)


class ClockSource:
    """Sends another time on /clock, between the messages of the simulation."""

    def __init__(self, publisher: Publisher, style: str, rng: random.Random, now: Callable[[], int]):
        self._publisher, self._style, self._rng, self._now = publisher, style, rng, now
        self._step_ns = round(rng.uniform(0.3, 60.0) * 1e9) * (-1 if style == "back" else 1)

    def __call__(self) -> None:
        """Sends the next message."""
        time_ns = self._now() + self._step_ns
        if self._style == "zero":
            time_ns = 0
        elif self._style == "jitter":
            time_ns = self._now() + round(self._rng.uniform(-0.4, 0.4) * 1e9)
        self._publisher.publish(Clock(clock=to_stamp(max(0, time_ns))))


def _is_anothers_command(data: bytes) -> bool:
    """Whether it reads as a command that a witness would take for the arbiter's."""
    try:
        return bool(deserialize_message(data, ActionCommand).reason != garbage.FOREIGN)
    except Exception:  # whatever the middleware raises for bytes that are no message
        return False


def qos_of(topic: str) -> QoSProfile:
    """That of the topic's own publisher."""
    return LATCHED if topic in _LATCHED else COMMANDS
