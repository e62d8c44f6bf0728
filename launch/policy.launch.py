"""The policy node: serves the VLA and hot-reloads its adapters."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("policy")
