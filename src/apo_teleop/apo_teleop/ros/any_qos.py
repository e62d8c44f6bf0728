"""A subscription to a topic whose publisher may have any QoS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node

from apo_core.ros.qos import COMMANDS, LATCHED, sensors

# reliable messages from now on, latched ones from before the start, best-effort publishers; the last fits every
# publisher, so a warning that another one does not would mislead
ANY_QOS = (COMMANDS, LATCHED, sensors("best_effort"))


def subscribe_any_qos(node: Node, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
    """Makes three subscriptions to a topic, one of which fits any publisher's QoS; a message may arrive twice."""
    quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
    for qos in ANY_QOS:
        node.create_subscription(message_type, topic, callback, qos, event_callbacks=quiet)
