import dataclasses
import importlib
import os

import pytest

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from pathlib import Path

from apo_bringup import nodes
from apo_core import config as configuration

CONFIG_CLASSES = {
    "sim_bridge": ["apo_sim_bridge.bridge_config.SimBridgeConfig"],
    "policy": ["apo_policy_node.config.PolicyConfig"],
    "arbiter": ["apo_teleop.arbiter_config.ArbiterConfig"],
    "teleop": [
        "apo_teleop.teleop_config.TeleopConfig",
        "apo_teleop.mapping.MappingConfig",
        "apo_teleop.devices.scripted.ScriptedConfig",
    ],
    "recorder": ["apo_recorder.config.RecorderConfig"],
    "trainer": ["apo_trainer.config.TrainerConfig"],
}


def known_parameters(name: str) -> set[str]:
    known = set()
    for path in CONFIG_CLASSES[name]:
        module, _, cls = path.rpartition(".")
        known |= {field.name for field in dataclasses.fields(getattr(importlib.import_module(module), cls))}
    return known


@pytest.mark.parametrize("entry", nodes.NODES, ids=lambda e: e.name)
def test_every_node_is_installed_and_its_configuration_names_its_parameters(entry):
    assert os.access(nodes.executable_path(entry), os.X_OK)
    file = nodes.share_dir() / "config" / entry.config_file
    values = configuration.read_ros_parameters(file, entry.name)
    assert set(values) - {"use_sim_time"} <= known_parameters(entry.name)


@pytest.mark.parametrize("entry", nodes.NODES, ids=lambda e: e.name)
def test_every_path_parameter_is_one_of_the_node_and_has_a_default(entry):
    assert set(entry.path_parameters) <= known_parameters(entry.name)
    assert set(entry.path_parameters) <= set(nodes.default_paths(Path("/data")))


def test_the_base_policy_is_installed():
    assert (Path(nodes.default_paths(Path("/data"))["checkpoint_dir"]) / "model.safetensors").is_file()


def test_later_sources_win_on_the_command_line():
    command = nodes.command_line(
        nodes.node("recorder"), {"auto": False, "episode_dir": "/e"}, namespace="arm1", params_file="/my.yaml"
    )
    text = " ".join(command)
    assert "-r __ns:=/arm1" in text
    assert "-p auto:=false -p episode_dir:=/e" in text
    assert text.index("recorder.yaml") < text.index("auto:=false") < text.index("/my.yaml")


def test_an_unknown_node_lists_the_known_ones():
    with pytest.raises(KeyError, match="no node 'camera'; known: sim_bridge, policy, arbiter"):
        nodes.node("camera")
