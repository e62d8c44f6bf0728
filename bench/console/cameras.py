"""Publishes pictures of cameras at a rate, stamped when they are sent: `cameras.py CONTRACT RATE_HZ`."""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import image_to_msg
from apo_core.ros.qos import sensors


def main() -> None:
    """Publishes until it is ended."""
    contract, rate_hz = load_contract(sys.argv[1]), float(sys.argv[2])
    rclpy.init()
    node = Node("cameras")
    publishers = [(node.create_publisher(Image, spec.topic, sensors("reliable")), spec) for spec in contract.images]
    # not of noise, which no camera shows and JPEG cannot pack
    ramp = {spec.name: np.indices(spec.shape[:2]).sum(0).astype(np.uint8) for _, spec in publishers}
    count = 0

    def send() -> None:
        nonlocal count
        count += 1
        for publisher, spec in publishers:
            picture = cv2.cvtColor(ramp[spec.name] + np.uint8(count % 256), cv2.COLOR_GRAY2RGB)
            publisher.publish(image_to_msg(picture, time.time_ns(), spec.name))

    node.create_timer(1.0 / rate_hz, send)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
