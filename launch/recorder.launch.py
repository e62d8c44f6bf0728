"""The recorder: labelled episodes to HDF5."""

from apo_bringup.stack.launching import describe


def generate_launch_description():
    return describe("recorder")
