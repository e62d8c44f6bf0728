"""The operator's side: device and arbiter."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("teleop", "arbiter")
