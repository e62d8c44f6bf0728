"""How a node is started as a process of its own."""

import sys
from collections.abc import Mapping


def node_command(module: str, parameters: Mapping[str, object]) -> list[str]:
    """The command that runs a `*_node` module, with ROS parameters as they are typed."""
    command = [sys.executable, "-m", module, "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
    return command
