"""Subscribes to every topic of a contract and gives the samples as arrays, one call a stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState

from apo_core.contract import Contract, ImageSpec, StateSpec
from apo_core.errors import ObservationError
from apo_core.ros.conversions import image_from_msg, state_from_msg, to_ns

_STATE_MESSAGES = {"geometry_msgs/msg/PoseStamped": PoseStamped, "sensor_msgs/msg/JointState": JointState}


class ObservationSource:
    """The cameras and state topics of a contract; one subscription a topic, whatever number of streams it feeds.

    Args:
        node: owns the subscriptions.
        contract: topics, types, shapes.
        qos: of all of them.
        sample: (stream, header stamp in nanoseconds, array), called in the executor's thread.
    """

    def __init__(self, node: Node, contract: Contract, qos: QoSProfile, sample: Callable[[str, int, np.ndarray], None]):
        self._node, self._sample = node, sample
        self.refused = 0  # messages that do not fit the contract
        by_topic: dict[tuple[str, str], list[StateSpec]] = {}
        for spec in contract.state:
            by_topic.setdefault((spec.topic, spec.type), []).append(spec)
        self._subscriptions = [
            node.create_subscription(Image, spec.topic, partial(self._on_image, spec), qos) for spec in contract.images
        ] + [
            node.create_subscription(_STATE_MESSAGES[kind], topic, partial(self._on_state, specs), qos)
            for (topic, kind), specs in by_topic.items()
        ]

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _on_image(self, spec: ImageSpec, message: Image) -> None:
        try:
            image = image_from_msg(message, spec)
        except ObservationError as error:
            self._refuse(error)
            return
        self._sample(spec.name, to_ns(message.header.stamp), image)

    def _on_state(self, specs: list[StateSpec], message: PoseStamped | JointState) -> None:
        for spec in specs:
            try:
                value = state_from_msg(message, spec)
            except ObservationError as error:
                self._refuse(error)
                continue
            self._sample(spec.name, to_ns(message.header.stamp), value)

    def _refuse(self, error: ObservationError) -> None:
        self.refused += 1
        self._node.get_logger().error(f"message dropped: {error}", throttle_duration_sec=2.0)
