"""The topics for the rerun viewer."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("rerun")
