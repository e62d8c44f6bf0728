"""The operator's console in the browser."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("console")
