from pathlib import Path

from apo_bringup.session.readiness import expected_subscribers, missing_parts, second_publishers, starting_line
from apo_core.contract.contract import load_contract

CONTRACT = load_contract(Path(__file__).resolve().parents[3] / "config" / "contract.yaml")
EXPECTED = {"ee_pose": ("arbiter", "policy"), "wrist": ("policy",)}
SUBSCRIBED = {"ee_pose": {"arbiter", "policy"}, "wrist": {"policy", "viewer"}}


def test_every_sensor_of_the_contract_has_its_subscribers():
    assert expected_subscribers(CONTRACT, ["arm_command", "hand_command"]) == {
        "agentview/image_raw": ("policy", "recorder"),
        "wrist/image_raw": ("policy", "recorder"),
        "ee_pose": ("arbiter", "policy", "recorder", "teleop"),
        "gripper/joint_states": ("policy", "recorder", "teleop"),
        "joint_states": ("policy", "recorder"),
        "ground_truth/objects": ("teleop",),
        "task/status": ("recorder", "teleop"),
        "policy/chunk": ("arbiter",),
        "operator/command": ("arbiter",),
        "command": ("policy", "recorder"),
        "arm_command": ("sim_bridge",),
        "hand_command": ("sim_bridge",),
    }


def test_nothing_is_missing_when_all_serve_and_subscribe():
    assert missing_parts({"trainer/train": True}, True, EXPECTED, SUBSCRIBED) == []


def test_missing_services_and_subscriptions_are_named():
    missing = missing_parts({"trainer/train": False, "arbiter/enable": True}, False, EXPECTED, {"ee_pose": {"arbiter"}})
    assert missing == ["trainer/train", "policy/adapter_status", "policy to subscribe to ee_pose and wrist"]


def test_the_live_line_while_starting():
    assert starting_line(3.6, ["trainer/train", "policy to subscribe to ee_pose"]) == (
        "starting the nodes, 4 s; waiting for trainer/train, policy to subscribe to ee_pose"
    )


def test_two_publishers_on_a_topic_are_rejected():
    assert second_publishers({"command": 1, "task/status": 0}) == ""
    assert second_publishers({"command": 2, "policy/chunk": 1, "task/status": 2}) == (
        "command, task/status come from more than one node: another stack runs in this ROS domain; "
        "stop it, or set another ROS_DOMAIN_ID"
    )
