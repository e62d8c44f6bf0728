"""What keeps the robot's measurements from the arbiter, a line for each topic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from rclpy.node import Node
from rclpy.qos import QoSProfile

from apo_core.ros.stream_faults import clock_fault, stream_line
from apo_core.stream_watch import StreamWatch

NO_HINTS: Mapping[str, str] = MappingProxyType({})
_ANY_DISTANCE_S = 1e9  # each topic counts by itself, not their distance


class MeasuredStream(NamedTuple):
    """A topic with measurements of the robot."""

    topic: str
    type: str  # "package/msg/Name"


class Arrival(NamedTuple):
    """The newest message of a stream."""

    stamp_ns: int  # of its header
    steady_ns: int  # when it arrived


class InputWatch:
    """Looks at the newest messages now and then, which costs the control loop nothing.

    Args:
        node: subscribes.
        streams: what the arbiter needs of the robot, by name.
        qos: of these subscriptions.
        lockstep: stamps are of a time of their own, which the ROS clock may not follow.
    """

    def __init__(self, node: Node, streams: Mapping[str, MeasuredStream], qos: QoSProfile, lockstep: bool):
        self._node, self._streams, self._qos, self._lockstep = node, dict(streams), qos, lockstep
        self._watch = StreamWatch(tuple(streams), _ANY_DISTANCE_S)
        self._counted: dict[str, Arrival] = {}
        self._reported: set[str] = set()  # topics at fault at the last look
        self._began_ns = time.monotonic_ns()

    def begun(self, faults: list[str]) -> list[str]:
        """Those of a look's faults whose topic had none at the look before: what is worth a line in the log."""
        topics = {line.split(":")[0]: line for line in faults}
        new = [line for topic, line in topics.items() if topic not in self._reported]
        self._reported = set(topics)
        return new

    def faults(self, arrivals: Mapping[str, Arrival], hints: Mapping[str, str] = NO_HINTS) -> list[str]:
        """What is wrong; empty while every stream arrives with the time of now.

        Args:
            arrivals: the newest message of each stream; a stream without one is absent.
            hints: what comes in place of messages of a stream that are missing; empty: nothing.
        """
        now_ns, steady_ns = self._node.get_clock().now().nanoseconds, time.monotonic_ns()
        if fault := clock_fault(now_ns, steady_ns - self._began_ns):
            return [fault]
        fresh = {name: arrival for name, arrival in arrivals.items() if self._counted.get(name) != arrival}
        self._counted.update(fresh)
        for name, arrival in fresh.items():
            # simulated time may have passed more slowly since the arrival than steady time did
            earliest_ns = now_ns - (steady_ns - arrival.steady_ns)
            received_ns = min(max(arrival.stamp_ns, earliest_ns), now_ns)
            self._watch.add(name, received_ns if self._lockstep else arrival.stamp_ns, received_ns)
        if fresh.keys() == self._streams.keys() and not self._watch.stamp_faults():
            self._watch.formed(now_ns)
        return [
            stream_line(self._node, name, *self._streams[name], self._qos, fault, hints.get(name, ""))
            for name, fault in self._watch.faults(now_ns).items()
        ]
