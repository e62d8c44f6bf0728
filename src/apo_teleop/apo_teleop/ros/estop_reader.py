"""Messages of the emergency stop topic with their publisher, which rclpy does not give: it is taken from librcl."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Bool

from apo_teleop.ros.any_qos import ANY_QOS

_MOST = 1000  # messages in one read


class _Gid(ctypes.Structure):
    """rmw_gid_t (rmw/types.h, Jazzy and later)."""

    _fields_ = (("implementation_identifier", ctypes.c_char_p), ("data", ctypes.c_uint8 * 16))


class _MessageInfo(ctypes.Structure):
    """rmw_message_info_t (rmw/types.h, Jazzy and later)."""

    _fields_ = (
        ("source_timestamp", ctypes.c_int64),
        ("received_timestamp", ctypes.c_int64),
        ("publication_sequence_number", ctypes.c_uint64),
        ("reception_sequence_number", ctypes.c_uint64),
        ("publisher_gid", _Gid),
        ("from_intra_process", ctypes.c_bool),
        ("spare", ctypes.c_uint8 * 64),  # for what a later release may add
    )


def open_estop_reader(node: Node, topic: str) -> EstopReader | None:
    """A reader; None where the library does not have what it needs, which is logged."""
    try:
        return EstopReader(node, topic)
    except (OSError, AttributeError) as error:
        node.get_logger().warning(
            f"publishers of {topic} are not identified ({error}): a false of one may end another's stop"
        )
        return None


class EstopReader:
    """Reads a topic of std_msgs/Bool on request; it fits any publisher's QoS, so a message may come several times.

    Its subscriptions belong to a node of their own that no executor spins, which would take the messages.

    Args:
        node: whose name and context it borrows.
        topic: full name, with remappings applied.
    """

    def __init__(self, node: Node, topic: str):
        self._topic = topic
        self._node = Node(
            f"_{node.get_name()}_estop",  # the underscore hides it in lists of nodes
            context=node.context,
            namespace=node.get_namespace(),
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
        self._subscriptions = [
            self._node.create_subscription(Bool, topic, lambda _: None, qos, event_callbacks=quiet) for qos in ANY_QOS
        ]
        self._take = ctypes.CDLL("librcl.so").rcl_take
        self._take.argtypes = [ctypes.c_void_p] * 4
        self._take.restype = ctypes.c_int

    def read(self) -> Iterator[tuple[bytes, int, bool]]:
        """What has arrived since the last call, by subscription oldest first: (publisher, its count, value)."""
        stop, info = ctypes.c_bool(), _MessageInfo()  # std_msgs__msg__Bool is a struct of one bool
        for subscription in self._subscriptions:
            for _ in range(_MOST):
                with subscription.handle:  # not destroyed meanwhile
                    status = self._take(
                        subscription.handle.pointer, ctypes.addressof(stop), ctypes.addressof(info), None
                    )
                if status:
                    break
                yield bytes(info.publisher_gid.data), info.publication_sequence_number, stop.value

    def publishers(self) -> set[bytes]:
        """Those on the topic now."""
        return {bytes(info.endpoint_gid) for info in self._node.get_publishers_info_by_topic(self._topic)}

    def close(self) -> None:
        """Ends the subscriptions."""
        with contextlib.suppress(Exception):
            self._node.destroy_node()
