"""The emergency stop topic: what any of its publishers requests, and which of them are there."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import Bool

from apo_teleop.arbiter.estop import EstopSignal
from apo_teleop.ros.any_qos import subscribe_any_qos
from apo_teleop.ros.estop_reader import open_estop_reader

_TOPIC = "estop"


class EstopTopic:
    """Subscribes for as long as the node lives.

    Args:
        node: that subscribes, counts publishers and logs.
        on_message: takes each message, once its publisher is known where the middleware identifies it.
    """

    def __init__(self, node: Node, on_message: Callable[[bool], None]):
        self.signal = EstopSignal()
        self._node, self._on_bool = node, on_message
        subscribe_any_qos(node, Bool, _TOPIC, self._on_message)
        self._reader = open_estop_reader(node, node.resolve_topic_name(_TOPIC))

    def _on_message(self, message: Bool) -> None:
        self.read()
        self._on_bool(message.data)

    def read(self) -> None:
        """Takes who requests a stop; the message itself, which may come before, has led to the stop at once."""
        for publisher, number, stop in self._reader.read() if self._reader is not None else ():
            self.signal.on_identified(publisher, number, stop)

    def held(self) -> bool:
        """Whether a publisher requests a stop now, by all that has arrived."""
        self.read()
        return self.signal.held(time.monotonic_ns())

    def count(self) -> None:
        """Looks which publishers there are."""
        self.signal.count(self._node.count_publishers(self._node.resolve_topic_name(_TOPIC)))
        if self._reader is not None and self.signal.present(self._reader.publishers()):
            self._node.get_logger().warning("a publisher of estop is gone that requests a stop: clear ends the stop")

    def close(self) -> None:
        """Ends the reader, which is a node of its own."""
        if self._reader is not None:
            self._reader.close()
