"""The operator's console on a terminal.

Imports `stack/`, apo_core and, in `operator_node.py` alone, ROS. Begin with `operator_view.py`.
"""
