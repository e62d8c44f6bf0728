"""Generates config/*.yaml and the reference pages of docs/ from the code: `make reference`.

Reads dataclasses, message definitions and syntax trees; needs neither rclpy nor a built workspace.
"""
