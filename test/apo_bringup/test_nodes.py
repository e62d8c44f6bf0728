import importlib
import os

import pytest

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from pathlib import Path

from apo_bringup import nodes
from apo_core import config as configuration

CONFIG_CLASSES = {
    "sim_bridge": ("apo_sim_bridge.bridge_config", "SimBridgeConfig"),
    "policy": ("apo_policy_node.config", "PolicyConfig"),
    "arbiter": ("apo_teleop.arbiter_config", "ArbiterConfig"),
    "teleop": ("apo_teleop.teleop_config", "TeleopConfig"),
    "recorder": ("apo_recorder.config", "RecorderConfig"),
    "trainer": ("apo_trainer.config", "TrainerConfig"),
}


def config_class(name: str) -> type:
    module, cls = CONFIG_CLASSES[name]
    return getattr(importlib.import_module(module), cls)


@pytest.mark.parametrize("entry", nodes.NODES, ids=lambda e: e.name)
def test_every_node_is_installed_and_its_configuration_loads(entry):
    assert os.access(nodes.executable_path(entry), os.X_OK)
    configuration.load(config_class(entry.name), nodes.share_dir() / "config" / entry.config_file, entry.name)


@pytest.mark.parametrize("entry", nodes.NODES, ids=lambda e: e.name)
def test_every_path_parameter_is_one_of_the_node_and_has_a_default(entry):
    known = {field.name for field in config_class(entry.name).__dataclass_fields__.values()}
    assert set(entry.path_parameters) <= known
    assert set(entry.path_parameters) <= set(nodes.default_paths(Path("/data")))


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
