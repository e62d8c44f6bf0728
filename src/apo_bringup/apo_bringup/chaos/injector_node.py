"""A node that sends what faults ask for: garbage, another time on /clock, stops.

It is none with the witness, so that what its messages do to the middleware of a process does not end the observation.
One request in JSON a line on standard input, one event (`events.py`) a line on standard output.
"""

from __future__ import annotations

import copy
import json
import math
import queue
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from apo_bringup.chaos import garbage
from apo_bringup.chaos.events import Event, ForeignPose, News, encode
from apo_core.ros.conversions import to_ns, to_stamp
from apo_core.ros.node_runner import run
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import ActionChunk, ActionCommand, AdapterStatus, EpisodeEvent, OperatorCommand, TaskStatus

_TYPES: dict[str, type] = {
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
_MODELS = (
    "ee_pose",
    "policy/chunk",
    "policy/adapter_status",
    "operator/command",
    "command",
    "task/status",
    "cartesian_command",
    "gripper/joint_states",
)
_SERVICES = ("arbiter/clear", "arbiter/estop")
_PERIOD_S = 0.02


class InjectorNode(Node):
    """Receives and sends on one thread."""

    def __init__(self) -> None:
        super().__init__("injector")
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._newest: dict[str, Any] = {}  # topic -> newest sound message
        self._time_ns = 0  # of /clock, as the simulation sends it
        self._sent: set[int] = set()  # stamps of poses that a fault sent
        self._fault: Callable[[], None] | None = None
        self._publisher: Publisher | None = None
        self._end_s = math.inf
        for topic in _MODELS:
            self.create_subscription(_TYPES[topic], topic, partial(self._on_message, topic), _qos(topic))
        self.create_subscription(Clock, "/clock", self._on_clock, COMMANDS)
        # of its own in the network too: a participant cannot send another type on a topic that it subscribes to
        self._foreign_context = rclpy.Context()
        rclpy.init(context=self._foreign_context)
        self._foreign = rclpy.create_node("foreign", context=self._foreign_context)
        self._clients_of = {name: self.create_client(Trigger, name) for name in _SERVICES}
        self.create_timer(_PERIOD_S, self._on_timer, clock=RosClock(clock_type=ClockType.STEADY_TIME))
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """Ends what sends for faults."""
        self._foreign.destroy_node()
        self._foreign_context.try_shutdown()

    def _read(self) -> None:
        for line in sys.stdin:
            self._requests.put(json.loads(line))
        self._requests.put({"do": "end"})

    def _report(self, event: Event) -> None:
        sys.stdout.write(encode(event) + "\n")
        sys.stdout.flush()

    def _on_message(self, topic: str, message: Any) -> None:
        if topic == "ee_pose" and to_ns(message.header.stamp) in self._sent:
            return
        if topic == "command" and message.reason == garbage.FOREIGN:
            return
        if topic == "policy/chunk" and not garbage.is_usable(message):
            return
        self._newest[topic] = message

    def _on_clock(self, message: Clock) -> None:
        if self._fault is None:
            self._time_ns = to_ns(message.clock)

    def _on_timer(self) -> None:
        while not self._requests.empty():
            request = self._requests.get()
            if request["do"] == "end":
                raise KeyboardInterrupt
            if request["do"] == "call":
                self._call(request["service"])
            else:
                self._begin(request)
        if self._fault is not None:
            if time.monotonic() < self._end_s:
                self._fault()
            else:
                self._stop()

    def _call(self, service: str) -> None:
        client = self._clients_of[service]
        if not client.service_is_ready():
            self._report(News(time.time_ns(), "answer", {"service": service, "success": False}))
            return

        def answered(future: Any) -> None:
            success = future.exception() is None and future.result().success
            self._report(News(time.time_ns(), "answer", {"service": service, "success": success}))

        self._report(News(time.time_ns(), "asked", {"service": service}))
        client.call_async(Trigger.Request()).add_done_callback(answered)

    def _begin(self, request: dict[str, Any]) -> None:
        self._stop()
        rng, topic, style = random.Random(request["seed"]), request["topic"], request["style"]
        kind = Float64 if style == "wrong_type" else _TYPES[topic]
        self._publisher = self._foreign.create_publisher(kind, topic, _qos(topic))
        self._end_s = time.monotonic() + request["duration_s"]
        if topic == "/clock":
            self._fault = _ClockFault(self._publisher, style, rng, lambda: self._time_ns)
        else:
            self._fault = lambda: self._send(topic, style, rng)

    def _stop(self) -> None:
        if self._publisher is not None:
            self._foreign.destroy_publisher(self._publisher)
            self._report(News(time.time_ns(), "injected", {}))
        self._publisher = self._fault = None

    def _send(self, topic: str, style: str, rng: random.Random) -> None:
        assert self._publisher is not None
        if style == "wrong_type":
            self._publisher.publish(Float64(data=rng.random()))
            return
        if style == "stop":
            self._publisher.publish(Bool(data=True))
            return
        message = self._sound(topic)
        if style == "raw":
            if topic == "command":
                message.reason = garbage.FOREIGN
            data = garbage.mangled(serialize_message(message), rng)
            if topic != "command" or not _is_anothers_command(data):
                self._publisher.publish(data)
            return
        if style == "extreme":
            garbage.fill(message, rng)
        elif style == "mutated":
            garbage.mutate(message, rng)
        elif style == "not_finite":
            garbage.spoil_numbers(message, rng)
        elif style == "empty":
            message = _TYPES[topic]()
        elif hasattr(message, "header"):
            if style == "frame":
                message.header.frame_id = rng.choice(("world", "camera", "x" * 1000))
            else:
                ahead_s = rng.uniform(0.5, 100.0) * (1 if style == "future" else -1)
                message.header.stamp = to_stamp(max(0, self._time_ns + round(ahead_s * 1e9)))
        if topic == "command":
            message.reason = garbage.FOREIGN
        if topic == "ee_pose":
            stamp_ns = to_ns(message.header.stamp)
            self._sent.add(stamp_ns)
            self._report(ForeignPose(time.time_ns(), stamp_ns))
        self._publisher.publish(message)

    def _sound(self, topic: str) -> Any:
        """A message like the newest of the topic, of now."""
        message = copy.deepcopy(self._newest.get(topic)) or _TYPES[topic]()
        if isinstance(message, Image) and not message.data:
            message.height, message.width, message.encoding, message.step = 84, 84, "rgb8", 84 * 3
            message.data = bytes(84 * 84 * 3)
        if hasattr(message, "header"):
            message.header.stamp = to_stamp(self._time_ns)
        return message


class _ClockFault:
    """Sends another time on /clock, between the messages of the simulation."""

    def __init__(self, publisher: Publisher, style: str, rng: random.Random, now: Callable[[], int]):
        self._publisher, self._style, self._rng, self._now = publisher, style, rng, now
        self._step_ns = round(rng.uniform(0.3, 60.0) * 1e9) * (-1 if style == "back" else 1)

    def __call__(self) -> None:
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


def _qos(topic: str) -> Any:
    return LATCHED if topic in _LATCHED else COMMANDS


def main() -> None:
    """Runs the injector until its input ends."""
    try:
        status = run(InjectorNode)
    except KeyboardInterrupt:
        rclpy.try_shutdown()
        status = 0
    raise SystemExit(status)


if __name__ == "__main__":
    main()
