"""Starts the nodes: the `apo` command, the launch files' descriptions, and the demo session with its report.

`stack/` starts the nodes, `session/` conducts a demo, `console/` is the operator's terminal. As the outermost package
it may import every other one, except the node packages that it starts by name, and ROS; no package imports it. Begin
with `cli.py`, whose table lists the commands, then `stack/nodes.py`, whose table lists the nodes.
"""
