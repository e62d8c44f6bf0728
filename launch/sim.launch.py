"""The simulated robot."""

from apo_bringup.launching import describe


def generate_launch_description():
    return describe("sim_bridge")
