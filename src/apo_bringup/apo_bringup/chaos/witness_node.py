"""A node beside the arbiter that is none of the stack: prints a line of JSON for each event (`events.py`).

It ends with its standard input.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Bool

from apo_bringup.chaos import garbage
from apo_bringup.chaos.events import Chunk, Command, Estop, Event, News, Operator, Pose, Publishers, RobotTwist, encode
from apo_core.ros.conversions import to_ns, twist_to_array
from apo_core.ros.node_runner import run
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import (
    ActionChunk,
    ActionCommand,
    AdapterStatus,
    ControlStatus,
    EpisodeEvent,
    OperatorCommand,
    TrainerStatus,
)

_ONE_PUBLISHER = (
    "ee_pose",
    "policy/chunk",
    "operator/command",
    "policy/adapter_status",
    "command",
    "cartesian_command",
)
_COUNT_S = 0.1


class WitnessNode(Node):
    """Observes on one thread; arrival times are those of the middleware."""

    # above the arbiter: it must not receive later than the one that it judges
    realtime_priority = 25

    def __init__(self) -> None:
        super().__init__("witness")
        self._counts: dict[str, int] = {}
        self._status: tuple[str, str, bool] | None = None
        self._ended = threading.Event()
        for kind, topic, handle, qos in (
            (ActionCommand, "command", self._on_command, COMMANDS),
            (TwistStamped, "cartesian_command", self._on_twist, COMMANDS),
            (PoseStamped, "ee_pose", self._on_pose, COMMANDS),
            (OperatorCommand, "operator/command", self._on_operator, COMMANDS),
            (ActionChunk, "policy/chunk", self._on_chunk, COMMANDS),
            (AdapterStatus, "policy/adapter_status", self._on_adapter, LATCHED),
            (EpisodeEvent, "recorder/event", self._on_episode, COMMANDS),
            (Bool, "estop", self._on_estop, COMMANDS),
            (ControlStatus, "control/status", self._on_status, COMMANDS),
            (TrainerStatus, "trainer/status", self._on_trainer, LATCHED),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS),
        ):
            self.create_subscription(kind, topic, _with_info(handle), qos)
        self.create_timer(_COUNT_S, self._count_publishers, clock=Clock(clock_type=ClockType.STEADY_TIME))
        threading.Thread(target=self._await_end, daemon=True).start()

    def _await_end(self) -> None:
        sys.stdin.read()
        self._ended.set()

    def _report(self, event: Event) -> None:
        sys.stdout.write(encode(event) + "\n")
        sys.stdout.flush()

    def _on_command(self, message: ActionCommand, info: dict) -> None:
        if message.reason == garbage.FOREIGN:
            return
        values = tuple(map(float, message.values))
        stamps = (message.header.stamp, message.observation_stamp, message.chunk_stamp, message.operator_stamp)
        sent_ns = info["source_timestamp"]
        self._report(Command(sent_ns, message.tick, values, message.source, message.reason, *map(to_ns, stamps)))

    def _on_twist(self, message: TwistStamped, info: dict) -> None:
        twist = tuple(map(float, twist_to_array(message.twist)))
        self._report(RobotTwist(info["source_timestamp"], to_ns(message.header.stamp), twist))

    def _on_pose(self, message: PoseStamped, info: dict) -> None:
        p = message.pose.position
        self._report(Pose(info["received_timestamp"], (p.x, p.y, p.z), to_ns(message.header.stamp)))

    def _on_operator(self, message: OperatorCommand, info: dict) -> None:
        acts, stamp_ns = bool(message.connected and message.active), to_ns(message.header.stamp)
        self._report(Operator(info["source_timestamp"], acts, stamp_ns))

    def _on_chunk(self, message: ActionChunk, info: dict) -> None:
        usable = garbage.is_usable(message)
        self._report(Chunk(info["received_timestamp"], usable, to_ns(message.observation_stamp)))

    def _on_estop(self, message: Bool, info: dict) -> None:
        if message.data:
            self._report(Estop(info["received_timestamp"], True))

    def _on_adapter(self, message: AdapterStatus, info: dict) -> None:
        data = {"state": message.state, "version": message.version, "reason": message.reason[:200]}
        self._report(News(info["received_timestamp"], "adapter", data))

    def _on_episode(self, message: EpisodeEvent, info: dict) -> None:
        data = {"event": message.event[:40], "path": message.path[:500], "reason": message.reason[:200]}
        self._report(News(info["received_timestamp"], "episode", data))

    def _on_status(self, message: ControlStatus, info: dict) -> None:
        status = message.state, message.reason, message.latched
        if status != self._status:
            self._status = status
            data = {"state": message.state, "reason": message.reason, "latched": message.latched}
            self._report(News(info["source_timestamp"], "status", data))

    def _on_trainer(self, message: TrainerStatus, info: dict) -> None:
        data = {"state": message.state, "run": message.run_id, "message": message.message[:200]}
        self._report(News(info["received_timestamp"], "trainer", data))

    def _on_diagnostics(self, message: DiagnosticArray, info: dict) -> None:
        for status in message.status:
            self._report(News(info["received_timestamp"], "alive", {"node": status.name}))

    def _count_publishers(self) -> None:
        if self._ended.is_set():
            raise KeyboardInterrupt
        for topic in _ONE_PUBLISHER:
            count = self.count_publishers(topic)
            if count != self._counts.get(topic):
                self._counts[topic] = count
                self._report(Publishers(time.time_ns(), topic, count))


def _with_info(handle: Callable[[Any, dict], None]) -> Callable[[Any, dict], None]:
    # rclpy counts the parameters of the callback: a bound method's are not two
    return lambda message, info: handle(message, info)


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
