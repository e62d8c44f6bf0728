"""The YAML blocks of docs/how-to/real_arm.md load as they are printed."""

import re
from pathlib import Path

import pytest
import yaml

from apo_core.config.parameters import load, read_ros_parameters
from apo_core.contract.contract import contract_from_dict
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.outputs.config import JOINT_OUTPUTS, OUTPUTS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "real_arm.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
PARAMETERS = [block for block in BLOCKS if "ros__parameters" in block]
LIMITS = [block for block in BLOCKS if block.startswith("limits:")]


def arm_contract(block: str):
    data = yaml.safe_load((ROOT / "config" / "contract.yaml").read_text())
    return contract_from_dict({**data, **yaml.safe_load(block)}, "docs/how-to/real_arm.md")


def test_each_kind_of_output_has_an_example():
    shown = {
        read["output"] for block in PARAMETERS for read in [yaml.safe_load(block)["/**/arbiter"]["ros__parameters"]]
    }
    assert shown == {"twist", "pose", "joint_trajectory", "joint_velocity"}
    assert len(LIMITS) == len(BLOCKS) - len(PARAMETERS) == 2


@pytest.mark.parametrize("block", PARAMETERS, ids=lambda block: re.search(r"output: (\w+)", block)[1])
def test_an_example_of_parameters_fits_the_arbiter_and_the_limits(block, tmp_path):
    file = tmp_path / "arm.yaml"
    file.write_text(block)
    config = load(ArbiterConfig, file, "arbiter")
    for name, value in read_ros_parameters(file, "arbiter").items():
        assert getattr(config.robot if hasattr(config.robot, name) else config, name) == value
    assert config.robot.output not in JOINT_OUTPUTS or (config.robot.base_link and config.robot.tip_link)
    for limits in LIMITS:
        assert Arbiter(config, arm_contract(limits)).state == "IDLE"


@pytest.mark.parametrize("block", LIMITS, ids=["franka", "ur5e"])
def test_an_example_of_limits_is_a_contract_and_slow(block):
    limits = arm_contract(block).limits
    assert limits.linear_speed <= 0.25 and limits.linear_acceleration == 2.0
    assert limits.absent == ("limits.step",)


def test_every_output_and_every_limit_is_in_the_tables():
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    for output in OUTPUTS:
        assert any(row.startswith(f"| `{output}` |") for row in rows), output
    for name in (
        "pose_lead_m",
        "joint_lead_rad",
        "joint_state_max_age_s",
        "kinematics_tolerance_m",
        "singularity_stop",
    ):
        assert any(f"`{name}`" in row for row in rows), name
