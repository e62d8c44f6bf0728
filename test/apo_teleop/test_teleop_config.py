"""Which device `auto` stands for, and that the shipped files name every parameter."""

import dataclasses
from pathlib import Path

import pytest

from apo_core.config import load, read_ros_parameters
from apo_teleop.arbiter_config import ArbiterConfig
from apo_teleop.devices.scripted import ScriptedConfig
from apo_teleop.mapping import MappingConfig
from apo_teleop.teleop_config import TeleopConfig, choose_device

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(
    ("wanted", "simulated", "attached", "device"),
    [
        ("auto", True, True, "spacemouse"),
        ("auto", False, True, "spacemouse"),
        ("auto", True, False, "scripted"),
        ("auto", False, False, "spacemouse"),
        ("keyboard", True, True, "keyboard"),
        ("none", True, True, "none"),
    ],
)
def test_auto_takes_what_is_there(wanted, simulated, attached, device):
    assert choose_device(wanted, simulated, lambda: attached) == device


def test_the_shipped_teleop_file_names_every_parameter_with_its_default():
    shipped = read_ros_parameters(CONFIG / "teleop.yaml", "teleop")
    defaults = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for cls in (TeleopConfig, MappingConfig, ScriptedConfig)
        for field in dataclasses.fields(cls)
    }
    assert shipped == defaults


def test_the_shipped_arbiter_file_names_every_parameter_with_its_default():
    assert load(ArbiterConfig, CONFIG / "arbiter.yaml", "arbiter") == ArbiterConfig()
    assert set(read_ros_parameters(CONFIG / "arbiter.yaml", "arbiter")) == {
        field.name for field in dataclasses.fields(ArbiterConfig)
    }
