"""The terminal of a person: a live line with notes above it, and the operator's console on top of that.

Imports `stack/`, apo_core and, in `operator_node.py` alone, ROS. Begin with `display.py`, then `operator_view.py`.
"""
