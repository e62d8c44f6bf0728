"""Lines about streams at fault: the topic, what is wrong, and what its publishers have to do with it."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from apo_core.stream_watch import NO_MESSAGE, WARN_AFTER_NS


def stream_line(node: Node, name: str, topic: str, kind: str, qos: QoSProfile, fault: str, hint: str = "") -> str:
    """A fault of a stream, with the reason in its publishers where no message arrives.

    Args:
        node: subscribes; its parameters are those of config/<its name>.yaml.
        name: of the stream in the contract.
        topic: it comes on.
        kind: message type, "package/msg/Name".
        qos: of the subscription.
        fault: of `StreamWatch`.
        hint: what else is known of the messages.
    """
    hints = []
    if fault.startswith(NO_MESSAGE):
        hints = [*_publisher_faults(node, topic, kind, qos), *filter(None, [hint])]
    return f"topic {topic} ('{name}'): {'; '.join([fault, *hints])}"


def clock_fault(now_ns: int, waited_ns: int) -> str:
    """Why nothing can be late: simulated time has never begun. Empty where it has, or not for long.

    Args:
        now_ns: ROS time.
        waited_ns: steady time since the node began to wait.
    """
    if now_ns or waited_ns < WARN_AFTER_NS:
        return ""
    return "topic /clock: no message, and use_sim_time is true"


def _publisher_faults(node: Node, topic: str, kind: str, qos: QoSProfile) -> list[str]:
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return ["nobody publishes it: start its driver, or correct its topic (config/contract.yaml)"]
    found = []
    if all(publisher.topic_type != kind for publisher in publishers):
        found.append(f"it is published as {publishers[0].topic_type}, the contract has {kind} (config/contract.yaml)")
    reliable = [publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE for publisher in publishers]
    if qos.reliability == ReliabilityPolicy.RELIABLE and not any(reliable):
        found.append(
            f"its publisher is best_effort: set sensor_reliability to best_effort (config/{node.get_name()}.yaml)"
        )
    return found
