"""Messages to the recorder as plain values of `apo_core.types`, and its state as messages.

It imports `apo_core` and `apo_interfaces`; only `recorder_node` imports it. Begin with
command_message.py.
"""
