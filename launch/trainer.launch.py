"""The trainer: episodes to adapters."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("trainer")
