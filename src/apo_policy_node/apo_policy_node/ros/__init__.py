"""Messages of the policy node: its results as messages of `apo_interfaces`.

It imports `apo_core`, `apo_interfaces` and the results that it converts; only `policy_node` imports it. Begin with
policy_messages.py.
"""
