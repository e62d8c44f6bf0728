"""Streams of a contract from messages, with a node that keeps the callbacks."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from apo_core.ros.conversions import image_to_msg, to_stamp
from apo_core.ros.observation_subscriber import ObservationSubscriber
from apo_core.ros.qos import sensors

STAMP = 3_000_000_001


class Node:
    """Keeps subscriptions by topic and what is logged."""

    def __init__(self):
        self.callbacks, self.errors = {}, []

    def create_subscription(self, kind, topic, callback, qos):
        self.callbacks[topic] = callback
        return topic

    def destroy_subscription(self, topic):
        del self.callbacks[topic]

    def get_logger(self):
        return SimpleNamespace(error=lambda text, throttle_duration_sec: self.errors.append(text))


@pytest.fixture
def cell(small_contract):
    """(node, samples, refused streams, the subscriber)."""
    node, samples, refused = Node(), [], []
    subscriber = ObservationSubscriber(
        node, small_contract, sensors("reliable"), lambda *sample: samples.append(sample), refused.append
    )
    return SimpleNamespace(node=node, samples=samples, refused=refused, subscriber=subscriber)


def test_images_and_states_arrive_with_stream_and_stamp(cell):
    image = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    cell.node.callbacks["front/image_raw"](image_to_msg(image, STAMP, "camera"))
    pose = PoseStamped()
    pose.header.stamp, pose.pose.position.x = to_stamp(STAMP + 1), 0.25
    cell.node.callbacks["ee_pose"](pose)
    (camera, state) = cell.samples
    assert camera[:2] == ("front", STAMP) and state[:2] == ("ee_pose", STAMP + 1)
    np.testing.assert_array_equal(camera[2], image)
    assert state[2].shape == (7,) and state[2][0] == np.float32(0.25)
    assert not cell.refused and cell.subscriber.refused == 0


def test_a_message_that_does_not_fit_is_counted_logged_and_reported(cell):
    cell.node.callbacks["front/image_raw"](image_to_msg(np.zeros((2, 2, 3), np.uint8), STAMP, "camera"))
    cell.node.callbacks["gripper/joint_states"](JointState(name=["elbow"], position=[0.1]))
    assert cell.refused == ["front", "width"] and cell.subscriber.refused == 2 and not cell.samples
    assert all(text.startswith("message dropped: ") for text in cell.node.errors) and len(cell.node.errors) == 2


def test_after_close_nothing_is_subscribed(cell):
    assert set(cell.node.callbacks) == {"front/image_raw", "ee_pose", "gripper/joint_states"}
    cell.subscriber.close()
    assert not cell.node.callbacks
