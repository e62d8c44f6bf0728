from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_episodes.files import read_all
from apo_episodes.formats.mcap.export import export_mcap, find_definition
from apo_episodes.reader import read_episode

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags is missing: pip install -r requirements/export.in")
typesys = pytest.importorskip("rosbags.typesys")
DEFINITION = Path(__file__).parents[4] / "src" / "apo_interfaces" / "msg" / "ActionCommand.msg"


def read_bag(path):
    """({topic: [(bag time, message)]}, types) as rosbags reads them, from nothing but the bag itself."""
    store = typesys.get_typestore(typesys.Stores.EMPTY)
    messages, types = {}, {}
    with rosbag2.Reader(path) as bag:
        for connection in bag.connections:
            store.register(typesys.get_types_from_msg(connection.msgdef.data, connection.msgtype))
            types[connection.topic] = connection.msgtype
        for connection, stamp_ns, raw in bag.messages():
            message = store.deserialize_cdr(raw, connection.msgtype)
            messages.setdefault(connection.topic, []).append((stamp_ns, message))
    return messages, types


def stamp(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_a_bag_holds_the_topics_of_the_contract_and_the_commands(write, tmp_path):
    path = write("PHO")
    episode = read_episode(path)
    (bag,) = export_mcap(read_all([path]), tmp_path / "out", DEFINITION)
    assert bag == tmp_path / "out" / "e1"
    assert sorted(file.name for file in bag.iterdir()) == ["e1.mcap", "metadata.yaml"]
    messages, types = read_bag(bag)
    assert types == {
        "/front/image_raw": "sensor_msgs/msg/Image",
        "/ee_pose": "geometry_msgs/msg/PoseStamped",
        "/gripper/joint_states": "sensor_msgs/msg/JointState",
        "/command": "apo_interfaces/msg/ActionCommand",
    }
    for index in range(3):
        time_ns, image = messages["/front/image_raw"][index]
        assert time_ns == stamp(image) == (index + 1) * 100_000_000
        assert (image.height, image.width, image.encoding, image.step) == (4, 6, "rgb8", 18)
        np.testing.assert_array_equal(image.data.reshape(4, 6, 3), episode.images["front"][index])
        _, joints = messages["/gripper/joint_states"][index]
        assert joints.name == ["finger"]
        assert joints.position.tolist() == episode.state["width"][index].tolist()
        _, pose = messages["/ee_pose"][index]
        assert pose.header.frame_id == "base"
        position, turn = pose.pose.position, pose.pose.orientation
        found = [position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w]
        np.testing.assert_array_equal(found, episode.state["ee_pose"][index])
    commands = [message for _, message in messages["/command"]]
    assert [one.source for one in commands] == ["POLICY", "HUMAN", "HOLD"]
    assert [one.tick for one in commands] == [1, 2, 3]
    assert [len(one.human_values) for one in commands] == [0, 7, 0]
    assert [len(one.policy_values) for one in commands] == [7, 7, 0]
    assert (commands[1].reason, commands[1].adapter_version) == ("because 2", 2)
    assert messages["/command"][1][0] == stamp(commands[1]) == 200_000_007
    described = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (described["storage_identifier"], described["message_count"]) == ("mcap", 12)
    assert described["relative_file_paths"] == ["e1.mcap"]
    assert described["custom_data"]["outcome"] == "SUCCESS"


def test_a_sample_used_twice_is_written_once(write, tmp_path):
    def change(index, step):
        reused = replace(step.observation, stamp_ns=100_000_000) if index == 1 else step.observation
        return replace(step, observation=reused)

    (bag,) = export_mcap(read_all([write("PPP", change=change)]), tmp_path / "out", DEFINITION)
    messages, _ = read_bag(bag)
    counts = {topic: len(found) for topic, found in messages.items() if topic.startswith("/")}
    assert counts == {"/front/image_raw": 2, "/ee_pose": 2, "/gripper/joint_states": 2, "/command": 3}


def test_each_sample_has_its_own_header_stamp(write, tmp_path):
    def change(_, step):
        own = {"front": step.observation.stamp_ns - 4, "width": step.observation.stamp_ns + 5}
        return replace(step, observation=replace(step.observation, header_stamps_ns=own))

    (bag,) = export_mcap(read_all([write("P", change=change)]), tmp_path / "out", DEFINITION)
    messages, _ = read_bag(bag)
    assert stamp(messages["/front/image_raw"][0][1]) == 99_999_996
    assert stamp(messages["/gripper/joint_states"][0][1]) == 100_000_005
    assert stamp(messages["/ee_pose"][0][1]) == 100_000_000


@pytest.fixture
def every_type(small_contract):
    """A contract with every type of topic."""
    data = small_contract.as_dict()
    data["images"] = {
        "bgr": {"topic": "bgr", "height": 4, "width": 6, "encoding": "bgr8"},
        "depth": {"topic": "depth", "height": 4, "width": 6, "encoding": "16UC1"},
        "packed": {
            "topic": "packed/compressed",
            "type": "sensor_msgs/msg/CompressedImage",
            "height": 4,
            "width": 6,
            "encoding": "rgb8",
        },
    }
    joint = {"topic": "joints", "type": "sensor_msgs/msg/JointState", "size": 2, "unit": "x", "joints": ["a", "b"]}
    data["state"] = {
        "ee_pose": data["state"]["ee_pose"],
        "position": {**joint, "field": "position"},
        "velocity": {**joint, "field": "velocity"},
        "twist": {"topic": "twist", "type": "geometry_msgs/msg/TwistStamped", "size": 6, "unit": "m/s"},
        "wrench": {"topic": "wrench", "type": "geometry_msgs/msg/WrenchStamped", "size": 6, "unit": "N"},
        "tactile": {"topic": "tactile", "type": "std_msgs/msg/Float32MultiArray", "size": 3, "unit": "1"},
        "number": {"topic": "number", "type": "std_msgs/msg/Int16", "size": 1, "unit": "1"},
        "flag": {"topic": "flag", "type": "std_msgs/msg/Bool", "size": 1, "unit": "1"},
    }
    return contract_from_dict(data, "every type")


@pytest.fixture
def every_episode(write, every_type):
    """One step of that contract."""
    rng = np.random.default_rng(1)

    def change(_, step):
        images = {
            "bgr": rng.integers(0, 256, (4, 6, 3), np.uint8),
            "depth": rng.integers(0, 60000, (4, 6, 1), np.uint16),
            "packed": rng.integers(0, 256, (4, 6, 3), np.uint8),
        }
        state = {spec.name: np.arange(1, spec.size + 1, dtype=np.float32) for spec in every_type.state}
        return replace(step, observation=replace(step.observation, images=images, state=state))

    return write("P", contract=every_type, change=change)


def test_every_type_of_topic_has_its_message(every_episode, tmp_path):
    episode = read_episode(every_episode)
    (bag,) = export_mcap(read_all([every_episode]), tmp_path / "out", DEFINITION)
    messages, _ = read_bag(bag)
    only = {topic: found[0][1] for topic, found in messages.items() if topic.startswith("/")}
    np.testing.assert_array_equal(only["/bgr"].data.reshape(4, 6, 3)[:, :, ::-1], episode.images["bgr"][0])
    assert (only["/depth"].encoding, only["/depth"].step) == ("16UC1", 12)
    np.testing.assert_array_equal(only["/depth"].data.view(np.uint16), episode.images["depth"][0].ravel())
    assert only["/packed/compressed"].format == "rgb8; png compressed"
    assert (only["/joints"].position.tolist(), only["/joints"].velocity.tolist()) == ([1, 2], [1, 2])
    assert only["/joints"].effort.size == 0
    assert (only["/twist"].twist.linear.z, only["/twist"].twist.angular.x) == (3, 4)
    assert (only["/wrench"].wrench.force.y, only["/wrench"].wrench.torque.z) == (2, 6)
    assert only["/tactile"].data.tolist() == [1, 2, 3]
    assert (only["/number"].data, only["/flag"].data) == (1, True)


def test_ros_reads_the_same_messages(every_episode, tmp_path):
    serialization = pytest.importorskip("rclpy.serialization", reason="rclpy is missing: run 'make setup'")
    messages = pytest.importorskip("apo_interfaces.msg", reason="apo_interfaces is not built: run 'make setup'")
    conversions = pytest.importorskip("apo_core.ros.conversions")
    from sensor_msgs.msg import CompressedImage, Image

    episode = read_episode(every_episode)
    (bag,) = export_mcap(read_all([every_episode]), tmp_path / "out")
    kinds = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
    specs = {f"/{spec.topic}": spec for spec in episode.contract.images}
    seen = []
    with rosbag2.Reader(bag) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic == "/command":
                command = serialization.deserialize_message(bytes(raw), messages.ActionCommand)
                np.testing.assert_array_equal(command.values, episode.executed_actions[0])
            elif connection.topic in specs:
                spec = specs[connection.topic]
                message = serialization.deserialize_message(bytes(raw), kinds[connection.msgtype])
                image = conversions.image_from_msg(message, spec)
                np.testing.assert_array_equal(image, episode.images[spec.name][0])
            else:
                continue
            seen.append(connection.topic)
    assert sorted(seen) == ["/bgr", "/command", "/depth", "/packed/compressed"]


def test_an_empty_episode_is_named(write, tmp_path):
    with pytest.raises(EpisodeToolError, match=r"e1\.h5: has no steps"):
        export_mcap(read_all([write("")]), tmp_path / "out", DEFINITION)


def test_a_definition_that_cannot_be_read_is_named(write, tmp_path):
    with pytest.raises(EpisodeToolError, match=r"none\.msg: not a readable message definition"):
        export_mcap(read_all([write("P")]), tmp_path / "out", tmp_path / "none.msg")
    assert not (tmp_path / "out").exists()


def test_the_definition_is_found_in_a_sourced_workspace(tmp_path, monkeypatch):
    place = tmp_path / "share" / "apo_interfaces" / "msg" / "ActionCommand.msg"
    place.parent.mkdir(parents=True)
    place.write_text("float32[] values\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'other'}:{tmp_path}")
    assert find_definition() == place


def test_the_definition_is_found_in_the_source_tree(monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    assert find_definition().read_text() == DEFINITION.read_text()


def test_a_command_has_the_tokens_of_its_step(write, with_facts, tmp_path):
    (bag,) = export_mcap(read_all([write("PPP", change=with_facts)]), tmp_path / "out", DEFINITION)
    commands = [message for _, message in read_bag(bag)[0]["/command"]]
    assert [one.policy_tokens.tolist() for one in commands] == [[], list(range(1, 8)), []]
