"""QoS profiles, one a kind of traffic (REP 2003 names the kinds), and how to hear all of them."""

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

COMMANDS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def sensors(reliability: str) -> QoSProfile:
    """Profile of camera and state topics.

    Args:
        reliability: `reliable` (nothing is lost on a local wire) or `best_effort` (also matches best-effort drivers).
    """
    policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=policy)


def subscribe_any_qos(node: Node, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
    """Subscribes to a topic that must be heard whatever its publisher's QoS; a message may come more than once."""
    # what is said from now on, what was said before the node started, and a publisher that is best effort; the last
    # fits any publisher, so that a warning that one of them does not would be wrong
    quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
    for qos in (COMMANDS, LATCHED, sensors("best_effort")):
        node.create_subscription(message_type, topic, callback, qos, event_callbacks=quiet)
