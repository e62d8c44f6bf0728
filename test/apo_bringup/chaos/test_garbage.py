"""Garbage: messages of the right type that no sound node sends; the same for a seed."""

import math
import random

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from apo_bringup.chaos.garbage import fill, leaves, mangled, mutate, spoil_numbers
from apo_interfaces.msg import ActionChunk, ActionCommand, AdapterStatus, EpisodeEvent, OperatorCommand, TaskStatus

KINDS = (
    *(PoseStamped, TwistStamped, Image, JointState, Bool, JointTrajectory),
    *(ActionChunk, ActionCommand, AdapterStatus, EpisodeEvent, OperatorCommand, TaskStatus),
)


def sound_chunk() -> ActionChunk:
    return ActionChunk(period_s=0.05, horizon=2, action_dim=2, values=[0.1, 0.2, 0.3, 0.4], adapter_version=3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filled_message_can_be_sent_and_differs(kind):
    messages = []
    for seed in range(30):
        message = kind()
        fill(message, random.Random(seed))
        messages.append(serialize_message(message))
    assert len(set(messages)) > 1
    assert any(message != serialize_message(kind()) for message in messages)


def test_a_seed_gives_the_same_message():
    first, second = sound_chunk(), sound_chunk()
    fill(first, random.Random(4))
    fill(second, random.Random(4))
    assert serialize_message(first) == serialize_message(second)


def test_a_mutation_changes_one_field():
    before = sound_chunk()
    for seed in range(40):
        message = sound_chunk()
        mutate(message, random.Random(seed))
        pairs = zip(leaves(message), leaves(before), strict=True)
        changed = [name for (a, name, _), (b, _, _) in pairs if str(getattr(a, name)) != str(getattr(b, name))]
        assert len(changed) <= 1


def test_numbers_are_spoilt_everywhere_and_shapes_kept():
    message = sound_chunk()
    spoil_numbers(message, random.Random(1))
    assert len(message.values) == 4
    assert not any(map(math.isfinite, [*message.values, message.period_s]))
    assert message.adapter_version == 3
    pose = PoseStamped()
    spoil_numbers(pose, random.Random(1))
    assert not math.isfinite(pose.pose.position.x)


def test_mangled_bytes_keep_the_header_of_their_encoding():
    data = serialize_message(sound_chunk())
    made = [mangled(data, random.Random(seed)) for seed in range(50)]
    assert all(one[:4] == data[:4] for one in made)
    assert len({*made}) > 30
    assert serialize_message(deserialize_message(data, ActionChunk)) == data
