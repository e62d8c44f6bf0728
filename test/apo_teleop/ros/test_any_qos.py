"""The subscriptions that fit every publisher."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from std_msgs.msg import Bool

from apo_teleop.ros.any_qos import subscribe_any_qos

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


class Node:
    """Keeps the profiles of its subscriptions."""

    def __init__(self):
        self.profiles = []

    def create_subscription(self, kind, topic, callback, qos, event_callbacks):
        self.profiles.append(qos)


@pytest.mark.parametrize("reliability", [RELIABLE, BEST_EFFORT])
@pytest.mark.parametrize("durability", [LATCHED, VOLATILE])
def test_one_of_three_subscriptions_fits_any_publisher(reliability, durability):
    node, publisher = Node(), QoSProfile(depth=1, reliability=reliability, durability=durability)
    subscribe_any_qos(node, Bool, "estop", print)
    fits = [qos for qos in node.profiles if qos_check_compatible(publisher, qos)[0] is not QoSCompatibility.ERROR]
    assert len(node.profiles) == 3 and fits
    # of a latched publisher, what was sent before the start must arrive too
    assert durability is VOLATILE or reliability is BEST_EFFORT or any(qos.durability is LATCHED for qos in fits)
