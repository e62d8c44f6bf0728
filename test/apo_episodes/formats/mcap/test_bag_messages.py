from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apo_core.contract.specs import ImageSpec, StateSpec
from apo_core.errors import EpisodeToolError
from apo_episodes.formats.mcap.bag_messages import MessageMaker
from apo_episodes.reader import read_episode

pytest.importorskip("rosbags.typesys", reason="rosbags is missing: pip install -r requirements/export.in")
DEFINITION = Path(__file__).parents[4] / "src" / "apo_interfaces" / "msg" / "ActionCommand.msg"
STAMP_NS = 12_000_000_345


@pytest.fixture(scope="module")
def maker():
    return MessageMaker(DEFINITION)


def test_a_colour_image_has_the_order_of_its_encoding(maker):
    image = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    rgb = maker.image(ImageSpec("front", "front", 1, 4, "rgb8"), image, STAMP_NS)
    bgr = maker.image(ImageSpec("front", "front", 1, 4, "bgr8"), image, STAMP_NS)
    assert rgb.data.tolist() == list(range(12))
    assert bgr.data.tolist()[:6] == [2, 1, 0, 5, 4, 3]
    assert (rgb.step, rgb.header.frame_id) == (12, "front")
    assert (rgb.header.stamp.sec, rgb.header.stamp.nanosec) == (12, 345)


def test_joint_fields_of_one_sample_share_a_message(maker, small_contract):
    joint = {"type": "sensor_msgs/msg/JointState", "size": 2, "unit": "x", "joints": ("a", "b")}
    state = (
        StateSpec(name="position", topic="/joints", field="position", **joint),
        StateSpec(name="effort", topic="/joints", field="effort", **joint),
        StateSpec(name="later", topic="/joints", field="velocity", **joint),
    )
    contract = replace(small_contract, state=state)
    values = {spec.name: np.full(2, index, np.float32) for index, spec in enumerate(state)}
    stamps = {"position": 5, "effort": 5, "later": 6}
    first, second = maker.states(contract, values, stamps)
    assert (first[0], second[0]) == (5, 6)
    assert first[2].position.tolist() == [0, 0] and first[2].effort.tolist() == [1, 1]
    assert first[2].velocity.size == 0 and second[2].velocity.tolist() == [2, 2]
    assert first[2].name == ["a", "b"]


@pytest.mark.parametrize(("kind", "value"), [("Bool", True), ("Int16", 1), ("Float64", 1.0)])
def test_a_number_has_the_type_of_its_topic(maker, small_contract, kind, value):
    spec = StateSpec("x", "/x", f"std_msgs/msg/{kind}", 1, "1", "", ())
    contract = replace(small_contract, state=(spec,))
    ((_, _, message),) = maker.states(contract, {"x": np.ones(1, np.float32)}, {"x": 1})
    assert message.data == value and type(message.data) is type(value)


def test_a_state_without_a_message_is_named(maker, small_contract):
    contract = replace(small_contract, state=(StateSpec("x", "/x", "sensor_msgs/msg/Imu", 1, "1", "", ()),))
    with pytest.raises(EpisodeToolError, match="state 'x' of type sensor_msgs/msg/Imu"):
        list(maker.states(contract, {"x": np.ones(1, np.float32)}, {"x": 1}))


def test_absent_actions_and_tokens_are_empty(maker, write):
    episode = read_episode(write("OP"))
    held, driven = (maker.command(episode, index) for index in range(2))
    assert (held.source, driven.source) == ("HOLD", "POLICY")
    assert (held.policy_values.size, held.policy_tokens.size, held.human_values.size) == (0, 0, 0)
    np.testing.assert_array_equal(driven.policy_values, episode.policy_actions[1])
    assert (driven.tick, driven.adapter_version, driven.reason) == (2, 2, "because 2")
