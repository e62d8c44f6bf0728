"""diagnostic_msgs/DiagnosticArray of one node (REP 107)."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def diagnostic_array(node: Node, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticArray:
    """The message for /diagnostics: OK, WARN or ERROR, one line, and key and value of what lies behind it."""
    name = node.get_fully_qualified_name().strip("/")
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    status = DiagnosticStatus(level=level, name=name, message=message, hardware_id=name, values=pairs)
    array = DiagnosticArray(status=[status])
    array.header.stamp = node.get_clock().now().to_msg()
    return array
