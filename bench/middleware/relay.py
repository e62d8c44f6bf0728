"""The least that an rclpy node can do with a message: publish it again. What the arbiter is compared with."""

import sys

import rclpy
from rclpy.executors import ExternalShutdownException

from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import OperatorCommand


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("relay")
    publisher = node.create_publisher(OperatorCommand, sys.argv[2], COMMANDS)
    node.create_subscription(OperatorCommand, sys.argv[1], publisher.publish, COMMANDS)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
