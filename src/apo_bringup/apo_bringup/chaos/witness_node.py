"""A node beside the arbiter that is none of the stack: reports what it observes, and sends what faults ask for.

One line of JSON for each event on standard output (`events.py`), one for each request on standard input.
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
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from apo_bringup.chaos import garbage
from apo_bringup.chaos.events import Chunk, Command, Estop, Event, News, Operator, Pose, Publishers, RobotTwist, encode
from apo_core.ros.conversions import to_ns, to_stamp, twist_to_array
from apo_core.ros.node_runner import run
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import (
    ActionChunk,
    ActionCommand,
    AdapterStatus,
    ControlStatus,
    EpisodeEvent,
    OperatorCommand,
    TaskStatus,
    TrainerStatus,
)

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
_LATCHED = ("policy/adapter_status", "trainer/status")
_ONE_PUBLISHER = (
    "ee_pose",
    "policy/chunk",
    "operator/command",
    "policy/adapter_status",
    "command",
    "cartesian_command",
)
_PERIOD_S, _COUNT_S = 0.02, 0.1
_SERVICES = ("arbiter/clear", "arbiter/estop")


class WitnessNode(Node):
    """Observes and sends on one thread; arrival times are those of the middleware."""

    def __init__(self) -> None:
        super().__init__("witness")
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._newest: dict[str, Any] = {}  # topic -> newest sound message
        self._time_ns = 0  # of /clock, as the simulation sends it
        self._sent: set[int] = set()  # stamps of poses that a fault sent
        self._counts: dict[str, int] = {}
        self._fault: Callable[[], None] | None = None
        self._publisher: Publisher | None = None
        self._end_s = math.inf
        for topic, handle in (
            ("command", self._on_command),
            ("cartesian_command", self._on_twist),
            ("ee_pose", self._on_pose),
            ("operator/command", self._on_operator),
            ("policy/chunk", self._on_chunk),
            ("policy/adapter_status", self._on_adapter),
            ("task/status", lambda message, _: self._newest.__setitem__("task/status", message)),
            ("recorder/event", self._on_episode),
            ("gripper/joint_states", lambda message, _: self._newest.__setitem__("gripper/joint_states", message)),
            ("estop", self._on_estop),
            ("/clock", self._on_clock),
        ):
            self._subscribe(_TYPES[topic], topic, handle)
        self._subscribe(ControlStatus, "control/status", self._on_status)
        self._subscribe(TrainerStatus, "trainer/status", self._on_trainer)
        self._subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics)
        # of its own in the network too: a participant cannot send another type on a topic that it subscribes to
        self._foreign_context = rclpy.Context()
        rclpy.init(context=self._foreign_context)
        self._foreign = rclpy.create_node("foreign", context=self._foreign_context)
        self._clients_of = {name: self.create_client(Trigger, name) for name in _SERVICES}
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_PERIOD_S, self._on_timer, clock=steady)
        self.create_timer(_COUNT_S, self._count_publishers, clock=steady)
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """Ends what sends for faults."""
        self._foreign.destroy_node()
        self._foreign_context.try_shutdown()

    def _subscribe(self, kind: type, topic: str, handle: Callable[[Any, dict], None]) -> None:
        self.create_subscription(kind, topic, lambda message, info: handle(message, info), self._qos(topic))

    @staticmethod
    def _qos(topic: str) -> Any:
        return LATCHED if topic in _LATCHED else COMMANDS

    def _read(self) -> None:
        for line in sys.stdin:
            self._requests.put(json.loads(line))
        self._requests.put({"do": "end"})

    def _report(self, event: Event) -> None:
        sys.stdout.write(encode(event) + "\n")
        sys.stdout.flush()

    def _on_command(self, message: ActionCommand, info: dict) -> None:
        if message.reason == garbage.FOREIGN:
            return
        self._newest["command"] = message
        values = tuple(map(float, message.values))
        stamps = (to_ns(stamp) for stamp in (message.header.stamp, message.observation_stamp, message.chunk_stamp))
        sent_ns = info["source_timestamp"]
        self._report(Command(sent_ns, message.tick, values, message.source, message.reason, *stamps))

    def _on_twist(self, message: TwistStamped, info: dict) -> None:
        self._newest["cartesian_command"] = message
        twist = tuple(map(float, twist_to_array(message.twist)))
        self._report(RobotTwist(info["source_timestamp"], to_ns(message.header.stamp), twist))

    def _on_pose(self, message: PoseStamped, info: dict) -> None:
        p, stamp = message.pose.position, to_ns(message.header.stamp)
        foreign = stamp in self._sent
        if not foreign:
            self._newest["ee_pose"] = message
        self._report(Pose(info["received_timestamp"], (p.x, p.y, p.z), foreign, stamp))

    def _on_operator(self, message: OperatorCommand, info: dict) -> None:
        self._newest["operator/command"] = message
        self._report(Operator(info["source_timestamp"], bool(message.connected and message.active)))

    def _on_chunk(self, message: ActionChunk, info: dict) -> None:
        usable = not message.fault and len(message.values) > 0 and all(map(math.isfinite, message.values))
        if usable:
            self._newest["policy/chunk"] = message
        self._report(Chunk(info["received_timestamp"], usable, to_ns(message.observation_stamp)))

    def _on_estop(self, message: Bool, info: dict) -> None:
        if message.data:
            self._report(Estop(info["received_timestamp"], True))

    def _on_clock(self, message: Clock, info: dict) -> None:
        if self._fault is None:
            self._time_ns = to_ns(message.clock)

    def _on_adapter(self, message: AdapterStatus, info: dict) -> None:
        self._newest["policy/adapter_status"] = message
        data = {"state": message.state, "version": message.version, "reason": message.reason[:200]}
        self._report(News(info["received_timestamp"], "adapter", data))

    def _on_episode(self, message: EpisodeEvent, info: dict) -> None:
        data = {"event": message.event[:40], "path": message.path[:500], "reason": message.reason[:200]}
        self._report(News(info["received_timestamp"], "episode", data))

    def _on_status(self, message: ControlStatus, info: dict) -> None:
        before = self._newest.get("control/status")
        self._newest["control/status"] = message
        if before is None or (before.state, before.reason, before.latched) != (
            *(message.state, message.reason),
            message.latched,
        ):
            data = {"state": message.state, "reason": message.reason, "latched": message.latched}
            self._report(News(info["source_timestamp"], "status", data))

    def _on_trainer(self, message: TrainerStatus, info: dict) -> None:
        data = {"state": message.state, "run": message.run_id, "message": message.message[:200]}
        self._report(News(info["received_timestamp"], "trainer", data))

    def _on_diagnostics(self, message: DiagnosticArray, info: dict) -> None:
        for status in message.status:
            self._report(News(info["received_timestamp"], "alive", {"node": status.name}))

    def _count_publishers(self) -> None:
        for topic in _ONE_PUBLISHER:
            count = self.count_publishers(topic)
            if count != self._counts.get(topic):
                self._counts[topic] = count
                self._report(Publishers(time.time_ns(), topic, count))

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

        client.call_async(Trigger.Request()).add_done_callback(answered)

    def _begin(self, request: dict[str, Any]) -> None:
        self._stop()
        rng, topic, style = random.Random(request["seed"]), request["topic"], request["style"]
        kind = Float64 if style == "wrong_type" else _TYPES[topic]
        self._publisher = self._foreign.create_publisher(kind, topic, self._qos(topic))
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
            self._publisher.publish(garbage.mangled(serialize_message(message), rng))
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
            self._sent.add(to_ns(message.header.stamp))
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


def main() -> None:
    """Runs the witness until its input ends."""
    try:
        status = run(WitnessNode)
    except KeyboardInterrupt:
        rclpy.try_shutdown()
        status = 0
    raise SystemExit(status)


if __name__ == "__main__":
    main()
