"""The simulated robot."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("sim_bridge")
