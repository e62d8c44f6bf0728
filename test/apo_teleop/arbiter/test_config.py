"""The arbiter's parameters: the shipped file, and faults between two of them."""

from pathlib import Path

import pytest

from apo_core.config.parameters import load, parameter_fields, read_ros_parameters
from apo_core.errors import ConfigError
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.outputs.config import OutputConfig

CONFIG = Path(__file__).parents[3] / "config"


def test_the_shipped_arbiter_file_names_every_parameter_with_its_default():
    assert load(ArbiterConfig, CONFIG / "arbiter.yaml", "arbiter") == ArbiterConfig()
    assert set(read_ros_parameters(CONFIG / "arbiter.yaml", "arbiter")) == set(parameter_fields(ArbiterConfig))


def test_lockstep_needs_the_stamp_of_the_observation():
    with pytest.raises(ConfigError, match="output_stamp = 'now' must be 'observation' with lockstep = true"):
        ArbiterConfig(OutputConfig(output_stamp="now"), lockstep=True)
    nothing = OutputConfig(output_stamp="now", output="none", gripper_output="none")
    assert ArbiterConfig(nothing, lockstep=True).lockstep
