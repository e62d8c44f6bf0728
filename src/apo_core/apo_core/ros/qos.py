"""QoS profiles, one for each kind of traffic (REP 2003 names the kinds), and a subscription that fits all of them."""

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
    """Makes three subscriptions to a topic, one of which fits any publisher's QoS; a message may arrive twice."""
    # reliable messages from now on, latched ones from before the start, best-effort publishers; the last fits every
    # publisher, so a warning that another one does not would mislead
    quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
    for qos in (COMMANDS, LATCHED, sensors("best_effort")):
        node.create_subscription(message_type, topic, callback, qos, event_callbacks=quiet)
