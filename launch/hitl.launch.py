"""Human in the loop: everything (sim:=false for a real robot)."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("sim_bridge", "policy", "arbiter", "teleop", "recorder", "trainer", "console")
