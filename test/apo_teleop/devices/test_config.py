"""Which device `auto` stands for, and that the shipped file names every parameter."""

from pathlib import Path

import pytest

from apo_core.config.parameters import parameter_fields, read_ros_parameters
from apo_teleop.devices.config import TeleopConfig, choose_device

CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize(
    ("wanted", "simulated", "attached", "published", "device"),
    [
        ("auto", True, True, True, "spacemouse"),
        ("auto", False, True, True, "spacemouse"),
        ("auto", True, False, True, "joy"),
        ("auto", False, False, True, "joy"),
        ("auto", True, False, False, "scripted"),
        ("auto", False, False, False, "spacemouse"),
        ("keyboard", True, True, True, "keyboard"),
        ("joy", True, True, False, "joy"),
        ("none", True, True, True, "none"),
    ],
)
def test_auto_takes_what_is_there(wanted, simulated, attached, published, device):
    assert choose_device(wanted, simulated, lambda: attached, lambda: published) == device


@pytest.mark.parametrize("wanted", ["spacemouse", "joy", "keyboard", "scripted", "none"])
def test_only_auto_looks_for_devices(wanted):
    def looked():
        raise AssertionError("looked for a device")

    assert choose_device(wanted, True, looked, looked) == wanted


def test_the_shipped_teleop_file_names_every_parameter_with_its_default():
    shipped = read_ros_parameters(CONFIG / "teleop.yaml", "teleop")
    defaults = {
        name: list(field.default) if isinstance(field.default, tuple) else field.default
        for name, (field, _) in parameter_fields(TeleopConfig).items()
    }
    assert shipped == defaults
