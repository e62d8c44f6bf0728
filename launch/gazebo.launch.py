"""Gazebo with an arm, a table and two cameras, in place of a robot; apo itself starts with arm:=gazebo."""

from apo_bringup.stack.launching import describe_gazebo


def generate_launch_description():
    return describe_gazebo()
