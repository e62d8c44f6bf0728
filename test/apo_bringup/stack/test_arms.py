"""The sets of config/arms load, fit the arbiter, and are slow."""

from pathlib import Path

import pytest

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from apo_bringup.stack import nodes
from apo_bringup.stack.arms import ARMS, arm_set, arms_dir
from apo_core.config.parameters import load, ros_parameters
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig

ROOT = Path(__file__).resolve().parents[3]


def test_each_folder_is_an_arm_and_is_installed():
    assert sorted(p.name for p in (ROOT / "config" / "arms").iterdir()) == sorted(ARMS)
    assert sorted(p.name for p in arms_dir().iterdir()) == sorted(ARMS)


@pytest.mark.parametrize("name", ARMS)
def test_a_set_loads_and_fits_the_arbiter(name):
    arm = arm_set(name, sim=False)
    contract, config = load_contract(arm.contract), load(ArbiterConfig, arm.parameters, "arbiter")
    assert Arbiter(config, contract).state == "IDLE"
    assert contract.limits.linear_speed == 0.25 and contract.limits.absent == ("limits.step",)
    assert config.robot.output == "joint_trajectory" and config.robot.trajectory_time_s == 0.1
    assert not config.start_enabled
    # the policy of a real arm needs a person with a device
    assert config.operator_required == (name != "gazebo")


@pytest.mark.parametrize("name", ARMS)
def test_every_value_is_a_parameter_of_its_node_and_of_its_type(name):
    arm = arm_set(name, sim=False)
    assert nodes.foreign_sections(arm.parameters) == []
    for node in nodes.names():
        theirs = ros_parameters(Path(arm.parameters), node) or {}
        shipped = ros_parameters(nodes.share_dir() / "config" / f"{node}.yaml", node)
        assert set(theirs) <= set(shipped), node
        nodes.without_set({}, [arm.parameters], nodes.node(node), "")


@pytest.mark.parametrize("name", ARMS)
def test_pose_and_arbiter_have_the_same_links(name):
    file = Path(arm_set(name, sim=False).parameters)
    arbiter, pose = ros_parameters(file, "arbiter"), ros_parameters(file, "tip_pose")
    if name == "franka":
        assert pose is None  # its driver publishes a pose
    else:
        assert {key: arbiter[key] for key in ("base_link", "tip_link")}.items() <= pose.items()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", []),
        ("franka", ["gripper_action"]),
        ("gazebo", ["tip_pose"]),
        ("ur5e", ["tip_pose", "gripper_action"]),
        ("xarm7", ["tip_pose", "gripper_action"]),
    ],
)
def test_the_nodes_that_an_arm_needs_come_with_the_arbiter(name, expected):
    arm = arm_set(name, sim=False)
    beside = [entry.name for entry in arm.companions([nodes.node("recorder"), nodes.node("arbiter")], "")]
    assert beside == ["recorder", "arbiter", *expected]
    assert [entry.name for entry in arm.companions([nodes.node("recorder")], "")] == ["recorder"]


def test_only_the_arm_of_gazebo_brings_its_description():
    assert [name for name in ARMS if arm_set(name, sim=False).urdf] == ["gazebo"]
    assert arm_set("gazebo", sim=False).urdf.endswith("/config/arms/gazebo/arm.urdf")


def test_an_unknown_arm_and_an_arm_with_the_simulation_are_rejected():
    with pytest.raises(ConfigError, match=r"no arm 'ur10' in config/arms; the arms are franka, gazebo, ur5e, xarm7"):
        arm_set("ur10", sim=False)
    with pytest.raises(ConfigError, match="arm 'ur5e' is in place of the simulation"):
        arm_set("ur5e", sim=True)
