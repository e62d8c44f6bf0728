"""ROS node: the robot's topics for Foxglove where no foxglove_bridge runs. It publishes nothing but diagnostics."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.subscription import Subscription

from apo_console.viewers.config import FoxgloveConfig
from apo_console.viewers.definitions import definition
from apo_console.viewers.foxglove_layout import foxglove_layout
from apo_console.viewers.streams import COMMANDS as COMMAND_STREAM
from apo_console.viewers.streams import LATCHED as LATCHED_STREAM
from apo_console.viewers.streams import Stream, streams
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.ros.diagnostics import OK, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.observation_subscriber import message_class
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_episodes.files import extra_module

_WATCH_S = 0.1  # after so long a topic comes to the first viewer, and ends after the last
_BACKLOG = 64  # messages that wait for a slow viewer; the oldest are dropped


@dataclass(slots=True)
class _Route:
    """A topic on its way to the viewers."""

    stream: Stream
    kind: type
    channel: Any
    subscription: Subscription | None = None
    newest: bytes = b""  # of a latched topic
    is_wanted_again: bool = False  # a viewer came after the latched message


class FoxgloveNode(Node):
    """Forwards each topic as it is on the wire (CDR) while a viewer subscribes to it."""

    def __init__(self) -> None:
        super().__init__("foxglove")
        config = declare(self, FoxgloveConfig)
        contract = load_contract(config.contract_file)
        foxglove = extra_module("foxglove", "foxglove-sdk", "view")
        logging.getLogger("foxglove").setLevel(logging.WARNING)
        self._qos = {COMMAND_STREAM: COMMANDS, LATCHED_STREAM: LATCHED}
        self._sensors = sensors(config.sensor_reliability)
        self._channels = context = foxglove.Context()  # its channels end with it
        namespace = self.get_namespace()
        self._routes = []
        for stream in streams(contract):
            kind, text = message_class(stream.type), definition(stream.type, message_class)
            schema = foxglove.Schema(name=stream.type, encoding="ros2msg", data=text.encode())
            topic = stream.name_in(namespace)
            channel = foxglove.Channel(topic, schema=schema, message_encoding="cdr", context=context)
            self._routes.append(_Route(stream, kind, channel))
        self._has_sim_time = self.get_parameter("use_sim_time").value
        self._server = _server(foxglove, config, context, namespace, self._on_subscribe, self._has_sim_time)
        self.create_timer(_WATCH_S, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        if config.layout_file:
            path = Path(config.layout_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(foxglove_layout(contract, namespace), indent=1) + "\n")
            self.get_logger().info(f"layout: {path}")
        self._address = f"{'wss' if config.tls_certificate else 'ws'}://{config.host}:{self._server.port}"
        self.get_logger().info(f"foxglove: {self._address}")

    def close(self) -> None:
        """Ends the server; viewers see the end."""
        self._server.stop()

    def _on_subscribe(self, topic: str) -> None:
        # from a thread of the server
        for route in self._routes:
            if route.channel.topic() == topic:
                route.is_wanted_again = True

    def _watch(self) -> None:
        if self._has_sim_time:
            self._server.broadcast_time(self.get_clock().now().nanoseconds)
        for route in self._routes:
            is_latched = route.stream.qos == LATCHED_STREAM
            is_wanted = is_latched or route.channel.has_sinks()
            if is_wanted and route.subscription is None:
                qos = self._qos.get(route.stream.qos, self._sensors)
                callback = partial(self._forward, route)
                topic = route.stream.topic
                route.subscription = self.create_subscription(route.kind, topic, callback, qos, raw=True)
            elif not is_wanted and route.subscription is not None:
                self.destroy_subscription(route.subscription)
                route.subscription = None
            if is_latched and route.is_wanted_again and route.newest:
                self._log(route, route.newest)
            route.is_wanted_again = False

    def _forward(self, route: _Route, message: bytes) -> None:
        if route.stream.qos == LATCHED_STREAM:
            route.newest = message
        self._log(route, message)

    def _log(self, route: _Route, message: bytes) -> None:
        route.channel.log(message, log_time=self.get_clock().now().nanoseconds)

    def _publish_diagnostics(self) -> None:
        shown = sum(route.subscription is not None and route.channel.has_sinks() for route in self._routes)
        facts = {"address": self._address, "topics": str(len(self._routes)), "topics_shown": str(shown)}
        self._diagnostics_pub.publish(diagnostic_array(self, OK, f"viewers see {shown} topics", facts))


class _Listener:
    """Callbacks of the server; what viewers send is ignored, since they have no capability for it."""

    def __init__(self, subscribed: Any):
        self._subscribed = subscribed

    def on_subscribe(self, client: Any, channel: Any) -> None:
        """A viewer has subscribed to a topic."""
        self._subscribed(channel.topic)

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        """Needs nothing: the channel knows whether it has viewers."""


def _server(
    foxglove: Any, config: FoxgloveConfig, context: Any, namespace: str, subscribed: Any, has_sim_time: bool
) -> Any:
    """The running server. Raises ConfigError where its address or its certificate is of no use."""
    try:
        pair = [Path(name).read_bytes() for name in (config.tls_certificate, config.tls_key) if name]
        return foxglove.start_server(
            name=f"apo {namespace.strip('/')}".strip(),
            host=config.host,
            port=config.port,
            capabilities=[foxglove.Capability.Time] if has_sim_time else [],
            server_listener=_Listener(subscribed),
            context=context,
            message_backlog_size=_BACKLOG,
            **(dict(zip(("tls_cert", "tls_key"), pair, strict=True)) if pair else {}),
        )
    except (OSError, RuntimeError, ValueError) as error:
        where = f"host = {config.host!r}, port = {config.port}, tls_certificate = {config.tls_certificate!r}"
        raise ConfigError("config/foxglove.yaml", [f"{where}: {error}"]) from None


def main() -> None:
    """Console script."""
    raise SystemExit(run(FoxgloveNode))


if __name__ == "__main__":
    main()
