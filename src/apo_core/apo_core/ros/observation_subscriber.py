"""Subscribes to every topic of a contract and converts the samples to arrays, one call for each stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile

from apo_core.contract.contract import Contract
from apo_core.contract.specs import ImageSpec, StateSpec
from apo_core.errors import ObservationError
from apo_core.ros.conversions import image_from_msg, state_from_msg, to_ns
from apo_core.ros.stream_faults import clock_fault, stream_line
from apo_core.stream_watch import StreamWatch


def message_class(kind: str) -> type:
    """Class of a message type, "package/msg/Name". Raises ImportError or AttributeError where it is not installed."""
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


class ObservationSubscriber:
    """The cameras and state topics of a contract; one subscription for each topic, which may carry several streams.

    Args:
        node: owns the subscriptions.
        contract: topics, types, shapes.
        qos: of all of them.
        sample: (stream, stamp in nanoseconds, array), called in the executor's thread. The stamp is the header's, or
            the ROS time of arrival where the message has no header.
        rejected: (stream, why), called for a message that does not fit the contract.
    """

    def __init__(
        self,
        node: Node,
        contract: Contract,
        qos: QoSProfile,
        sample: Callable[[str, int, np.ndarray], None],
        rejected: Callable[[str, str], None] = lambda stream, why: None,
    ):
        self._node, self._qos, self._sample, self._on_rejected = node, qos, sample, rejected
        self._specs: dict[str, ImageSpec | StateSpec] = {spec.name: spec for spec in contract.images}
        self._specs |= {spec.name: spec for spec in contract.state}
        self._watch = StreamWatch(tuple(self._specs), contract.tolerance_s, contract.rate_hz)
        self._unfit: dict[str, str] = {}  # stream -> what came in place of its newest message
        self._began_ns = time.monotonic_ns()
        self.rejected = 0  # messages that do not fit the contract
        by_topic: dict[tuple[str, str], list[StateSpec]] = {}
        for spec in contract.state:
            by_topic.setdefault((spec.topic, spec.type), []).append(spec)
        callbacks = [(spec.type, spec.topic, partial(self._on_image, spec)) for spec in contract.images]
        callbacks += [(kind, topic, partial(self._on_state, specs)) for (topic, kind), specs in by_topic.items()]
        self._subscriptions = [
            node.create_subscription(message_class(kind), topic, callback, qos) for kind, topic, callback in callbacks
        ]

    def formed(self) -> None:
        """The samples have made an observation."""
        self._watch.formed(self._now_ns())

    def faults(self) -> list[str]:
        """Why there is no or seldom an observation, a line for each topic that is at fault; empty while there are."""
        now_ns = self._now_ns()
        if fault := clock_fault(now_ns, time.monotonic_ns() - self._began_ns):
            return [fault]
        return [self._line(name, fault) for name, fault in self._watch.faults(now_ns).items()]

    def _line(self, name: str, fault: str) -> str:
        spec = self._specs[name]
        return stream_line(self._node, name, spec.topic, spec.type, self._qos, fault, self._unfit.get(name, ""))

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _on_image(self, spec: ImageSpec, message: Any) -> None:
        try:
            image = image_from_msg(message, spec)
        except ObservationError as error:
            self._reject(spec.name, error)
            return
        self._accept(spec.name, to_ns(message.header.stamp), image)

    def _on_state(self, specs: list[StateSpec], message: Any) -> None:
        header = getattr(message, "header", None)
        stamp_ns = self._node.get_clock().now().nanoseconds if header is None else to_ns(header.stamp)
        for spec in specs:
            # a robot may publish its gripper's joints on the same topic in messages of their own
            if spec.joints and not set(spec.joints) & set(message.name):
                have, wanted = ", ".join(message.name), ", ".join(spec.joints)
                self._unfit[spec.name] = f"a message of the topic has the joints {have}, the contract has {wanted}"
                continue
            try:
                value = state_from_msg(message, spec)
            except ObservationError as error:
                self._reject(spec.name, error)
                continue
            self._accept(spec.name, stamp_ns, value)

    def _accept(self, stream: str, stamp_ns: int, value: np.ndarray) -> None:
        self._watch.add(stream, stamp_ns, self._now_ns())
        self._unfit.pop(stream, None)
        self._sample(stream, stamp_ns, value)

    def _reject(self, stream: str, error: ObservationError) -> None:
        self.rejected += 1
        self._unfit[stream] = f"those that come are dropped: {error}"
        self._on_rejected(stream, str(error))
        self._node.get_logger().error(f"message dropped: {error}", throttle_duration_sec=2.0)
