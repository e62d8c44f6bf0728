"""The topics for Foxglove where no foxglove_bridge runs."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("foxglove")
