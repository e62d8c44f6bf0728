"""A demo session: rounds of deployment, training and reload, then an evaluation, and the report of all of it.

Imports `stack/`, apo_core, apo_sim_bridge for its demonstrations' seeds, and ROS in `node.py` and `blocking_node.py`
alone. Begin with `conduct.py`, which reads top-down over the `Stack` protocol that `node.py` implements.
"""
