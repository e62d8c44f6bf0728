from apo_console.viewers.streams import Stream, streams
from apo_core.contract.contract import load_contract


def test_each_topic_of_the_contract_comes_once():
    topics = [stream.topic for stream in streams(load_contract("config/contract.yaml"))]
    assert len(topics) == len(set(topics))
    # two streams of the contract share joint_states
    assert topics[:5] == ["agentview/image_raw", "wrist/image_raw", "ee_pose", "gripper/joint_states", "joint_states"]
    assert "control/status" in topics


def test_a_topic_is_named_as_the_graph_shows_it():
    assert Stream("command", "").name_in("") == "/command"
    assert Stream("command", "").name_in("/") == "/command"
    assert Stream("command", "").name_in("/left/arm") == "/left/arm/command"
    assert Stream("command", "").name_in("left") == "/left/command"
    assert Stream("/diagnostics", "").name_in("left") == "/diagnostics"
