import importlib
import json
import os
import subprocess
import sys

import pytest
import yaml

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from pathlib import Path

from apo_bringup.stack import nodes
from apo_core.config import parameters as configuration
from apo_core.errors import ConfigError

EVERY = (*nodes.NODES, *nodes.COMPANIONS, *nodes.VIEWERS)
CONFIG_CLASSES = {
    "sim_bridge": ["apo_sim_bridge.config.SimBridgeConfig"],
    "policy": ["apo_policy_node.config.PolicyConfig"],
    "arbiter": ["apo_teleop.arbiter.config.ArbiterConfig"],
    "teleop": ["apo_teleop.devices.config.TeleopConfig"],
    "recorder": ["apo_recorder.config.RecorderConfig"],
    "trainer": ["apo_trainer.config.TrainerConfig"],
    "console": ["apo_console.config.ConsoleConfig"],
    "foxglove": ["apo_console.viewers.config.FoxgloveConfig"],
    "rerun": ["apo_console.viewers.config.RerunConfig"],
    "gripper_action": ["apo_teleop.outputs.gripper_goals.GripperActionConfig"],
    "tip_pose": ["apo_teleop.outputs.tip_pose.TipPoseConfig"],
}

# prints the parameters that a node was given
_PARAMETERS = """
import json, sys, rclpy
rclpy.init(args=sys.argv)
node = rclpy.create_node("recorder", automatically_declare_parameters_from_overrides=True)
print(json.dumps({name: one.value for name, one in node.get_parameters_by_prefix("").items()}))
"""


def parameters_of(arguments: list[str]) -> dict[str, object]:
    """What a node `recorder` gets that is started so."""
    pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")
    command = [sys.executable, "-c", _PARAMETERS, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def known_parameters(name: str) -> set[str]:
    known = set()
    for path in CONFIG_CLASSES[name]:
        module, _, cls = path.rpartition(".")
        known |= set(configuration.parameter_fields(getattr(importlib.import_module(module), cls)))
    return known


@pytest.mark.parametrize("entry", EVERY, ids=lambda e: e.name)
def test_every_node_is_installed_and_its_file_has_its_parameters(entry):
    assert os.access(nodes.executable_path(entry), os.X_OK)
    file = nodes.share_dir() / "config" / entry.config_file
    values = configuration.read_ros_parameters(file, entry.name)
    assert set(values) - {"use_sim_time"} <= known_parameters(entry.name)


@pytest.mark.parametrize("entry", EVERY, ids=lambda e: e.name)
def test_parameters_in_the_table_are_those_of_the_node(entry):
    assert set(entry.path_parameters) <= known_parameters(entry.name)
    assert set(entry.path_parameters) <= set(nodes.default_paths(Path("/data")))
    assert entry.has_lockstep == ("lockstep" in known_parameters(entry.name))
    assert entry.reads_urdf == ("urdf_file" in known_parameters(entry.name))


def test_nodes_started_one_by_one_meet_in_the_same_folders():
    shipped = {
        e.name: configuration.read_ros_parameters(nodes.share_dir() / "config" / e.config_file, e.name)
        for e in nodes.NODES
    }
    assert shipped["recorder"]["episode_dir"] == shipped["trainer"]["episode_dir"]
    assert shipped["policy"]["adapter_dir"] == shipped["trainer"]["adapter_dir"]


def test_the_base_policy_is_installed():
    assert (Path(nodes.default_paths(Path("/data"))["checkpoint_dir"]) / "model.safetensors").is_file()


def test_later_sources_win_on_the_command_line(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**/policy": {"ros__parameters": {"auto": True}}}))
    command = nodes.command_line(
        nodes.node("recorder"), {"auto": False, "episode_dir": "/e"}, namespace="arm1", params_files=[str(file)]
    )
    text = " ".join(command)
    assert "-r __ns:=/arm1" in text
    assert '-p auto:=false -p episode_dir:="/e"' in text
    assert text.index("recorder.yaml") < text.index("auto:=false") < text.index(str(file))


@pytest.mark.parametrize(
    ("section", "namespace"),
    [
        ("/**/recorder", ""),
        ("/**/recorder", "arm1"),
        ("/**", "arm1"),
        ("recorder", ""),
        ("/arm1/recorder", "arm1"),
        ("nested", "arm1"),
    ],
)
def test_a_parameter_file_wins_over_shipped_and_given_values(tmp_path, monkeypatch, next_domain, section, namespace):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(next_domain()))
    file = tmp_path / "mine.yaml"
    content = {"ros__parameters": {"auto": False, "queue_steps": 9}}
    file.write_text(yaml.safe_dump({"arm1": {"recorder": content}} if section == "nested" else {section: content}))
    given = {"auto": True, "episode_dir": "/e"}
    arguments = nodes.command_line(nodes.node("recorder"), given, namespace=namespace, params_files=[str(file)])[1:]
    found = parameters_of(arguments)
    assert (found["auto"], found["queue_steps"], found["episode_dir"]) == (False, 9, "/e")


def test_a_section_of_another_namespace_takes_nothing_away(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/arm2/recorder": {"ros__parameters": {"auto": False}}}))
    for namespace in ("", "arm1"):
        command = nodes.command_line(
            nodes.node("recorder"), {"auto": True}, namespace=namespace, params_files=[str(file)]
        )
        assert "auto:=true" in command


def test_a_parameter_file_that_cannot_be_read_is_named(tmp_path):
    for text in (None, "a: [", "- 1"):
        file = tmp_path / "mine.yaml"
        if text is not None:
            file.write_text(text)
        with pytest.raises(ConfigError, match=r"mine\.yaml"):
            nodes.command_line(nodes.node("recorder"), {}, params_files=[str(file)])


def test_a_value_of_another_type_than_the_shipped_one_is_rejected(tmp_path):
    file = tmp_path / "mine.yaml"
    wrong = {"compile": "yes_please", "replan_steps": 2.5, "help_entropy": 3, "instruction": 5}
    file.write_text(yaml.safe_dump({"/**/policy": {"ros__parameters": wrong}}))
    with pytest.raises(ConfigError) as caught:
        nodes.command_line(nodes.node("policy"), {}, params_files=[str(file)])
    assert caught.value.source == str(file)
    assert caught.value.faults == [
        "compile = 'yes_please' must be of type bool, as in config/policy.yaml",
        "help_entropy = 3 must be of type float, as in config/policy.yaml",
        "instruction = 5 must be of type str, as in config/policy.yaml",
        "replan_steps = 2.5 must be of type int, as in config/policy.yaml",
    ]


@pytest.mark.parametrize("text", ["poll_s: 1e3", "poll_s: 2.0", "compile: on", "replan_steps: 3"])
def test_a_value_of_the_type_of_the_shipped_one_is_taken(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(f"/**/policy: {{ros__parameters: {{{text}}}}}")
    assert str(file) in nodes.command_line(nodes.node("policy"), {}, params_files=[str(file)])


TEXTS = ["1e3", "true", "007", "a: b", "", "~", "[1]", 'it\'s "quoted"', "back\\slash", "two\nlines", "lift # 3; é"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("/e", '"/e"'),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        (["0=hand_back", "1"], '["0=hand_back", "1"]'),
        ((1, 2), "[1, 2]"),
    ],
)
def test_values_are_written_as_yaml_that_keeps_their_type(value, text):
    assert nodes.yaml_text(value) == text


@pytest.mark.parametrize("value", TEXTS)
def test_a_text_stays_a_text_in_yaml(value):
    assert yaml.safe_load(nodes.yaml_text(value)) == value


def test_texts_and_numbers_reach_a_node_through_the_command_line(monkeypatch, next_domain):
    values = {f"v{i}": text for i, text in enumerate(TEXTS)} | {"yes": True, "n": 3, "x": 1e-05, "list": ["1", "a: b"]}
    monkeypatch.setenv("ROS_DOMAIN_ID", str(next_domain()))
    arguments = nodes.command_line(nodes.node("recorder"), {f"given.{name}": value for name, value in values.items()})
    found = parameters_of(["--ros-args", *arguments[arguments.index("-p") :]])
    assert {name: found[f"given.{name}"] for name in values} == values


def test_an_unknown_node_lists_the_known_ones():
    with pytest.raises(KeyError, match="no node 'camera'; the nodes are sim_bridge, policy, arbiter"):
        nodes.node("camera")


def test_only_processes_with_images_use_shared_memory(monkeypatch):
    config = Path(__file__).resolve().parents[3] / "config"
    for variable in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(variable, str(config / "fastdds_loopback.xml"))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    made = {entry.name: nodes.environment_for_node(entry) for entry in nodes.NODES}
    assert {environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] for environment in made.values()} == {"SYSTEM_DEFAULT"}
    profiles = {name: Path(environment["FASTDDS_DEFAULT_PROFILES_FILE"]).stem for name, environment in made.items()}
    assert profiles == {
        "sim_bridge": "fastdds_loopback",
        "policy": "fastdds_loopback",
        "arbiter": "fastdds_loopback_udp",
        "teleop": "fastdds_loopback_udp",
        "recorder": "fastdds_loopback",
        "trainer": "fastdds_loopback_udp",
        "console": "fastdds_loopback",
    }
