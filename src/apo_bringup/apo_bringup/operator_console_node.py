"""`apo operator`: what the operator's device says, on the terminal; to try a device, and to measure its axis map."""

from __future__ import annotations

import sys

from rclpy.node import Node

from apo_bringup.console import Console
from apo_bringup.operator_view import OperatorView
from apo_core.ros.node_main import run
from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import OperatorCommand


class OperatorViewNode(Node):
    """Shows the newest operator/command on a live line; buttons and a device's coming and going on lines that stay."""

    def __init__(self):
        super().__init__("operator_view")
        console = Console(sys.stdout)
        console.note("waits for operator/command; Ctrl-C ends")
        self._view = OperatorView(console)
        self.create_subscription(OperatorCommand, "operator/command", self._on_command, COMMANDS)

    def _on_command(self, message: OperatorCommand) -> None:
        self._view.show(message.device, message.connected, message.active, list(message.values), list(message.events))


def view(namespace: str) -> int:
    """Shows until Ctrl-C; returns the exit status."""
    return run(OperatorViewNode, ["--ros-args", "-r", f"__ns:=/{namespace.strip('/')}"] if namespace else None)
