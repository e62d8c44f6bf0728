"""The contract of a robot: cameras, state, action, limits, frames and topics, read from one YAML file. No ROS.

It imports `errors`, `types`, `actions` and `config`. Begin with `contract.load_contract`; `specs` holds the parts as
dataclasses, `reader` checks a file section by section, `topic_names` and `frames` check names and the frames of
messages.
"""
