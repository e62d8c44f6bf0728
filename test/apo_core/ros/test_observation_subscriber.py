"""The subscriptions of a contract, with a node that keeps their callbacks."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_contract import contract_data

from apo_core.contract.contract import contract_from_dict

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32, Header

from apo_core.ros.observation_subscriber import ObservationSubscriber
from apo_core.ros.qos import sensors

NOW_NS = 99_000_000_000


class FakeNode:
    """Keeps subscriptions as {topic: (type, callback)} and the errors that are logged."""

    def __init__(self):
        self.subscriptions, self.errors = {}, []
        self.now_ns, self.publishers = NOW_NS, {}

    def create_subscription(self, kind, topic, callback, qos):
        assert topic not in self.subscriptions
        self.subscriptions[topic] = (kind, callback)
        return topic

    def destroy_subscription(self, topic):
        del self.subscriptions[topic]

    def get_name(self):
        return "recorder"

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns))

    def get_publishers_info_by_topic(self, topic):
        return self.publishers.get(topic, [])

    def get_logger(self):
        return SimpleNamespace(error=lambda text, **_: self.errors.append(text))

    def receive(self, topic, message):
        kind, callback = self.subscriptions[topic]
        assert isinstance(message, kind)
        callback(message)


@pytest.fixture
def rig():
    """A node, a subscriber of a contract with two streams of one topic, and what it reports."""
    state = contract_data()["state"]
    joint = {"topic": "joints", "type": "sensor_msgs/msg/JointState", "size": 2, "unit": "x", "joints": ["a", "b"]}
    state |= {
        "position": {**joint, "field": "position"},
        "velocity": {**joint, "field": "velocity"},
        "force": {"topic": "force", "type": "std_msgs/msg/Float32", "size": 1, "unit": "N"},
    }
    contract = contract_from_dict(contract_data(state=state), "test")
    node, samples, rejected = FakeNode(), [], []
    qos = sensors("reliable")

    def reject(stream, why):
        rejected.append(stream)
        assert f"'{stream}'" in why

    subscriber = ObservationSubscriber(node, contract, qos, lambda *sample: samples.append(sample), reject)
    return SimpleNamespace(node=node, subscriber=subscriber, samples=samples, rejected=rejected)


def header(seconds: int) -> Header:
    return Header(stamp=Time(sec=seconds))


def test_each_topic_has_one_subscription_of_its_type(rig):
    assert {topic: kind for topic, (kind, _) in rig.node.subscriptions.items()} == {
        "front/image_raw": Image,
        "ee_pose": PoseStamped,
        "gripper/joint_states": JointState,
        "joints": JointState,
        "force": Float32,
    }


def test_an_image_arrives_as_an_array_with_its_stamp(rig):
    pixels = np.arange(72, dtype=np.uint8)
    message = Image(header=header(3), height=4, width=6, encoding="rgb8", step=18, data=pixels.tobytes())
    rig.node.receive("front/image_raw", message)
    ((stream, stamp_ns, image),) = rig.samples
    assert (stream, stamp_ns) == ("front", 3_000_000_000)
    np.testing.assert_array_equal(image, pixels.reshape(4, 6, 3))


def test_streams_of_one_topic_share_its_messages(rig):
    rig.node.receive("joints", JointState(header=header(2), name=["b", "a"], position=[1.0, 2.0], velocity=[3.0, 4.0]))
    assert [(stream, stamp_ns, value.tolist()) for stream, stamp_ns, value in rig.samples] == [
        ("position", 2_000_000_000, [2.0, 1.0]),
        ("velocity", 2_000_000_000, [4.0, 3.0]),
    ]


def test_a_message_without_header_has_the_stamp_of_its_arrival(rig):
    rig.node.receive("force", Float32(data=0.5))
    ((stream, stamp_ns, value),) = rig.samples
    assert (stream, stamp_ns, value.tolist()) == ("force", NOW_NS, [0.5])


def test_a_message_that_does_not_fit_is_dropped_counted_and_logged(rig):
    rig.node.receive("front/image_raw", Image(header=header(1), height=4, width=5, encoding="rgb8", step=15))
    rig.node.receive("joints", JointState(header=header(1), name=["a", "b"], position=[1.0, 2.0]))
    assert rig.rejected == ["front", "velocity"] and rig.subscriber.rejected == 2
    assert [stream for stream, *_ in rig.samples] == ["position"]  # the other stream of the message fits
    assert len(rig.node.errors) == 2 and "message dropped: " in rig.node.errors[0]


def publisher(kind: str, reliability: str) -> SimpleNamespace:
    return SimpleNamespace(topic_type=kind, qos_profile=sensors(reliability))


def test_topics_without_messages_are_named_with_what_their_publishers_lack(rig):
    assert rig.subscriber.faults() == []
    rig.node.publishers = {
        "front/image_raw": [publisher("sensor_msgs/msg/Image", "best_effort")],
        "ee_pose": [publisher("geometry_msgs/msg/Pose", "reliable")],
        "joints": [publisher("sensor_msgs/msg/JointState", "reliable")],
    }
    rig.node.now_ns += 4_000_000_000
    found = {line.split(":")[0]: line for line in rig.subscriber.faults()}
    assert found["topic front/image_raw ('front')"] == (
        "topic front/image_raw ('front'): no message for 4 s; its publisher is best_effort: set sensor_reliability to "
        "best_effort (config/recorder.yaml)"
    )
    assert found["topic ee_pose ('ee_pose')"].endswith(
        "it is published as geometry_msgs/msg/Pose, the contract has geometry_msgs/msg/PoseStamped "
        "(config/contract.yaml)"
    )
    assert found["topic force ('force')"] == (
        "topic force ('force'): no message for 4 s; nobody publishes it: start its driver, or correct its topic "
        "(config/contract.yaml)"
    )
    assert found["topic joints ('position')"] == "topic joints ('position'): no message for 4 s"


def test_nothing_is_named_while_observations_are_formed(rig):
    assert rig.subscriber.faults() == []
    rig.node.now_ns += 4_000_000_000
    rig.subscriber.formed()
    assert rig.subscriber.faults() == []


def test_stamps_far_from_the_clock_are_named(rig):
    assert rig.subscriber.faults() == []
    rig.node.now_ns += 4_000_000_000
    rig.node.receive("ee_pose", PoseStamped(header=header(3)))
    (line,) = [line for line in rig.subscriber.faults() if "ee_pose" in line]
    assert line.startswith("topic ee_pose ('ee_pose'): its stamps are 100.0 s behind the ROS clock: synchronise")


def test_joints_of_another_part_in_messages_of_their_own_are_no_fault(rig):
    rig.node.receive("joints", JointState(header=header(1), name=["finger"], position=[0.04], velocity=[0.0]))
    rig.node.receive("joints", JointState(header=header(1), name=["a", "b"], position=[1.0, 2.0], velocity=[3.0, 4.0]))
    assert [stream for stream, *_ in rig.samples] == ["position", "velocity"]
    assert (rig.rejected, rig.node.errors, rig.subscriber.rejected) == ([], [], 0)


def test_joints_that_never_come_are_named_with_those_that_do(rig):
    rig.node.publishers = {"joints": [publisher("sensor_msgs/msg/JointState", "reliable")]}
    assert rig.subscriber.faults() == []
    rig.node.receive("joints", JointState(header=header(1), name=["c", "d"], position=[1.0, 2.0], velocity=[3.0, 4.0]))
    rig.node.now_ns += 4_000_000_000
    (line,) = (line for line in rig.subscriber.faults() if "('position')" in line)
    expected = "no message for 4 s; a message of the topic has the joints c, d, the contract has a, b"
    assert line == f"topic joints ('position'): {expected}"


def test_messages_that_do_not_fit_are_named_in_place_of_silence(rig):
    rig.node.publishers = {"front/image_raw": [publisher("sensor_msgs/msg/Image", "reliable")]}
    assert rig.subscriber.faults() == []
    wrong = Image(header=header(1), height=8, width=6, encoding="bgr8", step=18)
    rig.node.receive("front/image_raw", wrong)
    rig.node.now_ns += 4_000_000_000
    (line,) = (line for line in rig.subscriber.faults() if "('front')" in line)
    assert line == (
        "topic front/image_raw ('front'): no message for 4 s; those that come are dropped: image 'front' on "
        "front/image_raw is bgr8 8 x 6, the contract requires rgb8 4 x 6 (config/contract.yaml)"
    )
    right = Image(header=header(2), height=4, width=6, encoding="rgb8", step=18, data=bytes(72))
    rig.node.receive("front/image_raw", right)
    rig.node.now_ns += 4_000_000_000
    (line,) = (line for line in rig.subscriber.faults() if "('front')" in line)
    assert line == "topic front/image_raw ('front'): no message for 4 s"


def test_closing_ends_all_subscriptions(rig):
    rig.subscriber.close()
    rig.subscriber.close()
    assert rig.node.subscriptions == {}
