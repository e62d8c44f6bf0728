"""Whether a second node of the same role is in this ROS domain, as when two whole stacks run beside each other."""

from __future__ import annotations

from rclpy.node import Node


def second_publisher(node: Node, *topics: str) -> str:
    """Which topic, that a stack has one publisher of, has several, and how to part them; empty: none.

    Args:
        node: one of the nodes at the topics.
        topics: relative names are of the node's namespace; its remappings apply.
    """
    for topic in topics:
        name = node.resolve_topic_name(topic)
        publishers = node.get_publishers_info_by_topic(name)
        if len(publishers) < 2:
            continue
        nodes = sorted(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in publishers)
        return (
            f"{len(publishers)} nodes publish {name} in ROS domain {node.context.get_domain_id()} "
            f"({', '.join(nodes)}): end one, or give one stack another ROS_DOMAIN_ID or --namespace"
        )
    return ""
