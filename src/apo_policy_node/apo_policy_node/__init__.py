"""The policy node: answers observations with action chunks, and exchanges adapters while it serves.

Imports apo_core, from apo_vla the parameters without torch (`config`) and, in `policy_node` alone, the models with
torch; every other module works on any `apo_core.served_policy.ServedPolicy`. rclpy stays in `policy_node` and `ros`.
Begin with `policy_server`, which connects the thread of `inference` with that of `adapters`; `policy_node` is its ROS
side.
"""
