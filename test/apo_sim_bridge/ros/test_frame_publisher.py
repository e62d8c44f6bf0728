"""The frame publisher on a node that keeps what it publishes."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import to_ns
from apo_core.ros.qos import COMMANDS, sensors
from apo_sim_bridge.ros.frame_publisher import FramePublisher
from apo_sim_bridge.sim.env import SimFrame
from apo_sim_bridge.trial import Trial, TrialRules

SENSORS = sensors("reliable")
STAGES = {"grasped": True, "stacked": False}


class Node:
    """Publishers append (topic, message) to `published`."""

    def __init__(self):
        self.published, self.qos, self.subscribers = [], {}, 0

    def create_publisher(self, kind, topic, qos):
        node = self
        self.qos[topic] = qos

        class Publisher:
            def publish(self, message):
                assert isinstance(message, kind)
                node.published.append((topic, message))

            def get_subscription_count(self):
                return node.subscribers

        return Publisher()


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def publisher(node):
    return FramePublisher(node, load_contract("config/contract.yaml"), SENSORS)


@pytest.fixture
def frame():
    image = np.arange(84 * 84 * 3, dtype=np.uint8).reshape(84, 84, 3)
    poses = np.arange(14.0).reshape(2, 7)
    return SimFrame(
        images={"agentview": image, "wrist": image[::-1].copy()},
        joint_names=tuple("abcdefg"),
        joint_positions=np.arange(7.0),
        joint_velocities=-np.arange(7.0),
        ee_position=np.array([0.1, 0.2, 0.3]),
        ee_quaternion=np.array([0.0, 1.0, 0.0, 0.0]),
        gripper_width=0.04,
        objects={"cubeB": poses[0], "cubeA": poses[1]},
        success=False,
        truncated=False,
        step=1,
    )


@pytest.fixture
def trial():
    running = Trial(TrialRules(50_000_000, 5, 2), 4_000_000_000)
    running.reset(7)
    running.advance(False, 5_000_000_000)
    return running


def test_clock_comes_first_and_task_status_last(publisher, node, frame, trial):
    publisher.publish(frame, trial, 0.25, STAGES)
    topics = [topic for topic, _ in node.published]
    assert topics[0] == "/clock" and topics[-1] == "task/status"
    assert sorted(topics) == sorted(node.qos) and len(topics) == 8
    assert node.qos["task/status"] is node.qos["/clock"] is COMMANDS
    assert node.qos["ee_pose"] is node.qos["agentview/image_raw"] is SENSORS


def test_all_messages_have_the_stamp_of_the_trial(publisher, node, frame, trial):
    publisher.publish(frame, trial, 0.25, STAGES)
    messages = dict(node.published)
    assert to_ns(messages.pop("/clock").clock) == trial.stamp_ns == 5_050_000_000
    assert {to_ns(message.header.stamp) for message in messages.values()} == {trial.stamp_ns}
    frames = {topic: message.header.frame_id for topic, message in messages.items() if "image" not in topic}
    assert set(frames.values()) == {"base"}
    assert messages["wrist/image_raw"].header.frame_id == "wrist_optical_frame"


def test_a_frame_is_published_as_it_is(publisher, node, frame, trial):
    publisher.publish(frame, trial, 0.25, STAGES)
    messages = dict(node.published)
    assert bytes(messages["wrist/image_raw"].data) == frame.images["wrist"].tobytes()
    joints = messages["joint_states"]
    assert (list(joints.name), list(joints.position)) == (list("abcdefg"), list(range(7)))
    assert list(joints.velocity) == [-float(i) for i in range(7)]
    gripper = messages["gripper/joint_states"]
    assert (list(gripper.name), list(gripper.position)) == (["gripper_width"], [0.04])
    pose = messages["ee_pose"].pose
    assert (pose.position.x, pose.position.z, pose.orientation.y) == (0.1, 0.3, 1.0)
    assert [p.position.x for p in messages["ground_truth/objects"].poses] == [0.0, 7.0]


def test_task_status_is_that_of_the_trial(publisher, node, frame, trial):
    publisher.publish(frame, trial, 0.25, STAGES)
    status = dict(node.published)["task/status"]
    assert (status.seed, status.trial, status.step, status.remaining) == (7, 1, 1, 0.25)
    assert (status.running, status.success, status.truncated) == (True, False, False)
    assert to_ns(status.last_observation_stamp) == 5_000_000_000
    assert (list(status.stages), list(status.stages_reached)) == (["grasped", "stacked"], [True, False])


def test_a_late_frame_keeps_its_stamp_and_time_goes_on(publisher, node, frame, trial):
    publisher.publish(frame, trial, 0.25, STAGES, 5_200_000_000)
    messages = dict(node.published)
    assert to_ns(messages.pop("/clock").clock) == 5_200_000_000
    assert {to_ns(message.header.stamp) for message in messages.values()} == {5_050_000_000}


def test_images_may_come_by_themselves(publisher, node, frame, trial):
    publisher.publish(frame, trial, 0.25, STAGES, with_images=False)
    assert len(node.published) == 6 and not any("image" in topic for topic, _ in node.published)
    publisher.publish_image("wrist", frame, 5_050_000_000)
    topic, message = node.published[-1]
    assert topic == "wrist/image_raw" and to_ns(message.header.stamp) == 5_050_000_000
    publisher.publish_clock(5_100_000_000)
    assert node.published[-1][0] == "/clock" and to_ns(node.published[-1][1].clock) == 5_100_000_000


def test_the_setting_is_in_the_task_status(node, frame, trial):
    perturbed = FramePublisher(node, load_contract("config/contract.yaml"), SENSORS, '{"distractors": 2}')
    perturbed.publish(frame, trial, 0.25, STAGES)
    assert dict(node.published)["task/status"].perturbation == '{"distractors": 2}'


def test_unknown_path_is_nan(publisher, node, frame, trial):
    publisher.publish(frame, trial, math.nan, {})
    assert math.isnan(dict(node.published)["task/status"].remaining)


def test_a_subscriber_of_the_pose_is_reported(publisher, node):
    assert not publisher.has_pose_subscriber
    node.subscribers = 1
    assert publisher.has_pose_subscriber
