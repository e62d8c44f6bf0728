"""A node that sends what faults ask for: garbage, another time on /clock, stops.

It is none with the witness, so that what its messages do to the middleware of a process does not end the observation.
One request in JSON a line on standard input, one event (`events.py`) a line on standard output.
"""

from __future__ import annotations

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
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from apo_bringup.chaos.events import Event, ForeignPose, News, encode
from apo_bringup.chaos.sources import MODELS, TYPES, ClockSource, GarbageSource, SoundMessages, qos_of
from apo_core.ros.conversions import to_ns
from apo_core.ros.node_runner import run
from apo_core.ros.qos import COMMANDS

_SERVICES = ("arbiter/clear", "arbiter/estop")
_PERIOD_S = 0.02


class InjectorNode(Node):
    """Receives and sends on one thread."""

    def __init__(self) -> None:
        super().__init__("injector")
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._sound = SoundMessages()
        self._fault: Callable[[], None] | None = None
        self._publisher: Publisher | None = None
        self._end_s = math.inf
        for topic in MODELS:
            self.create_subscription(TYPES[topic], topic, partial(self._sound.put, topic), qos_of(topic))
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

    def _on_clock(self, message: Clock) -> None:
        if self._fault is None:
            self._sound.time_ns = to_ns(message.clock)

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
        kind = Float64 if style == "wrong_type" else TYPES[topic]
        self._publisher = self._foreign.create_publisher(kind, topic, qos_of(topic))
        self._end_s = time.monotonic() + request["duration_s"]
        if topic == "/clock":
            self._fault = ClockSource(self._publisher, style, rng, lambda: self._sound.time_ns)
        else:
            self._fault = GarbageSource(self._publisher, topic, style, rng, self._sound, self._on_foreign_pose)

    def _on_foreign_pose(self, stamp_ns: int) -> None:
        self._report(ForeignPose(time.time_ns(), stamp_ns))

    def _stop(self) -> None:
        if self._publisher is not None:
            self._foreign.destroy_publisher(self._publisher)
            self._report(News(time.time_ns(), "injected", {}))
        self._publisher = self._fault = None


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
