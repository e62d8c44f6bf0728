"""Starts the nodes: the `apo` command, the launch files' descriptions, and the demo session with its report.

`stack/` starts the nodes, `session/` conducts a demo, `console/` is the operator's terminal. As the outermost package
it may import ROS, apo_core, apo_episodes, apo_sim_bridge and apo_trainer; the nodes and programs of the other packages
are started by name. No package imports it. Begin with `cli.py`, whose table lists the commands, then `stack/nodes.py`,
whose table lists the nodes.
"""
