"""diagnostic_msgs/DiagnosticArray of one node (REP 107)."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def diagnostic_array(node: Node, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticArray:
    """The message for /diagnostics, with one status; see `diagnostic_status`."""
    array = DiagnosticArray(status=[diagnostic_status(node, level, message, values)])
    array.header.stamp = node.get_clock().now().to_msg()
    return array


def diagnostic_status(
    node: Node, level: bytes, message: str, values: Mapping[str, str], component: str = ""
) -> DiagnosticStatus:
    """OK, WARN or ERROR, one line, and key and value of what lies behind it.

    Args:
        node: whose it is.
        level: OK, WARN or ERROR.
        message: one line.
        values: key -> value.
        component: part of the node, named behind it; empty: the node as a whole.
    """
    name = node.get_fully_qualified_name().strip("/")
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    full_name = f"{name}: {component}" if component else name
    return DiagnosticStatus(level=level, name=full_name, message=message, hardware_id=name, values=pairs)
