"""The launch files, run by the real `launch_ros`; it is not on PyPI, so this runs beside a ROS 2 installation."""

import runpy
from pathlib import Path

import pytest
import yaml

pytest.importorskip("launch_ros", reason="launch_ros is missing: it comes with a ROS 2 installation, not from PyPI")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node
from launch_ros.utilities import evaluate_parameters

from apo_bringup.stack import nodes
from apo_core.errors import ApoError, ConfigError

LAUNCH = Path(__file__).resolve().parents[3] / "launch"
STARTS = {
    "policy": ["policy"],
    "teleop": ["teleop", "arbiter"],
    "recorder": ["recorder"],
    "trainer": ["trainer"],
    "sim": ["sim_bridge"],
    "hitl": ["sim_bridge", "policy", "arbiter", "teleop", "recorder", "trainer"],
}
ARGUMENTS = {
    "sim": "",
    "arm": "",
    "robot": "",
    "params_file": "",
    "checkpoint_dir": "",
    "adapter_dir": "",
    "expert_dir": "data/expert/lift",
    "data_dir": "runs/live",
    "use_sim_time": "",
    "operator": "",
    "mode": "lockstep",
    "namespace": "",
    "respawn": "true",
}


class Launched:
    """The nodes that a launch file starts with some arguments, by name."""

    def __init__(self, name: str, **arguments: str):
        self.context = LaunchContext()
        self.context.launch_configurations.update(arguments)
        self.nodes: dict[str, Node] = {}
        for entity in description(name).entities:
            if isinstance(entity, DeclareLaunchArgument):
                entity.execute(self.context)
            elif isinstance(entity, OpaqueFunction):
                for node in entity.execute(self.context):
                    self.nodes[node._Node__node_name] = node

    def all_parameters(self, name: str) -> list:
        """Files (Path) and values (dict), in the order in which they are read."""
        return evaluate_parameters(self.context, self.nodes[name]._Node__parameters)

    def parameters(self, name: str) -> dict:
        """What the node gets beside the parameter files."""
        values = {}
        for part in self.all_parameters(name):
            if isinstance(part, dict):
                values |= part
        return values

    def parameter_files(self, name: str) -> list[str]:
        return [str(part) for part in self.all_parameters(name) if isinstance(part, Path)]

    def namespace(self, name: str) -> str:
        given = normalize_to_list_of_substitutions(self.nodes[name]._Node__node_namespace)
        return perform_substitutions(self.context, given)


def description(name: str):
    return runpy.run_path(str(LAUNCH / f"{name}.launch.py"))["generate_launch_description"]()


def test_every_launch_file_is_covered():
    assert {p.name.removesuffix(".launch.py") for p in LAUNCH.glob("*.launch.py")} == {*STARTS, "gazebo"}


@pytest.mark.parametrize("name", STARTS)
def test_every_argument_is_declared_with_its_default_and_a_description(name):
    context = LaunchContext()
    declared = [e for e in description(name).entities if isinstance(e, DeclareLaunchArgument)]
    assert {a.name: perform_substitutions(context, a.default_value) for a in declared} == ARGUMENTS
    assert all(len(a.description.split()) >= 3 and "no description" not in a.description.lower() for a in declared)


@pytest.mark.parametrize("name", STARTS)
def test_a_launch_file_starts_the_programs_of_its_nodes(name):
    launched = Launched(name)
    assert list(launched.nodes) == STARTS[name]
    for entry in map(nodes.node, STARTS[name]):
        node = launched.nodes[entry.name]
        assert (node.node_package, node.node_executable) == (entry.package, entry.executable)


@pytest.mark.parametrize("name", STARTS["hitl"])
def test_in_simulation_the_loop_runs_by_itself(name):
    share, data = nodes.share_dir(), Path("/data")
    contract, model = str(share / "config" / "contract.yaml"), str(share / "models" / "lift_base")
    expected = {
        "sim_bridge": {"contract_file": contract, "use_sim_time": False, "auto_reset": True},
        "policy": {
            "contract_file": contract,
            "checkpoint_dir": model,
            "adapter_dir": str(data / "adapters"),
            "use_sim_time": True,
        },
        "arbiter": {"contract_file": contract, "use_sim_time": True, "start_enabled": True},
        "teleop": {"contract_file": contract, "use_sim_time": True, "device": "scripted"},
        "recorder": {
            "contract_file": contract,
            "episode_dir": str(data / "episodes"),
            "use_sim_time": True,
            "auto": True,
        },
        "trainer": {
            "checkpoint_dir": model,
            "adapter_dir": str(data / "adapters"),
            "episode_dir": str(data / "episodes"),
            "expert_dir": "/demonstrations",
            "run_dir": str(data / "training"),
            "use_sim_time": True,
        },
    }
    launched = Launched("hitl", data_dir="/data", expert_dir="/demonstrations", operator="scripted")
    assert launched.parameters(name) == expected[name]
    assert launched.parameter_files(name) == [str(share / "config" / f"{name}.yaml")]


def test_on_a_robot_nothing_moves_by_itself_and_time_is_the_clocks():
    launched = Launched("hitl", sim="false", robot="/robot.yaml", operator="spacemouse")
    assert list(launched.nodes) == ["policy", "arbiter", "teleop", "recorder", "trainer"]
    for name in ("arbiter", "recorder", "policy", "teleop"):
        values = launched.parameters(name)
        assert (values["contract_file"], values["use_sim_time"]) == ("/robot.yaml", False)
        assert not {"start_enabled", "auto", "auto_reset"} & set(values)
    assert launched.parameters("teleop")["device"] == "spacemouse"


def test_on_a_robot_the_contract_must_be_given():
    with pytest.raises(ConfigError, match="no contract for teleop, arbiter"):
        Launched("teleop", sim="false")


@pytest.mark.parametrize(
    ("arm", "beside"),
    [("franka", ["gripper_action"]), ("ur5e", ["tip_pose", "gripper_action"]), ("gazebo", ["tip_pose"])],
)
def test_one_argument_starts_an_arm_and_what_it_needs(arm, beside):
    launched = Launched("teleop", arm=arm)
    assert list(launched.nodes) == ["teleop", "arbiter", *beside]
    folder = nodes.share_dir() / "config" / "arms" / arm
    for name in launched.nodes:
        assert launched.parameter_files(name)[-1] == str((folder / "parameters.yaml").resolve())
        assert launched.parameters(name)["use_sim_time"] is False
    assert launched.parameters("arbiter")["contract_file"] == str((folder / "contract.yaml").resolve())
    assert ("urdf_file" in launched.parameters("arbiter")) == (arm == "gazebo")


def test_files_of_a_persons_own_win_over_those_of_the_arm(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**/arbiter": {"ros__parameters": {"output": "none"}}}))
    launched = Launched("teleop", arm="ur5e", robot="/robot.yaml", params_file=str(file))
    assert launched.parameter_files("arbiter")[-1] == str(file)
    assert launched.parameters("arbiter")["contract_file"] == "/robot.yaml"


def test_an_arm_is_in_place_of_the_simulation():
    with pytest.raises(ConfigError, match="arm 'ur5e' is in place of the simulation"):
        Launched("teleop", arm="ur5e", sim="true")


def test_without_gazebo_its_launch_file_ends_with_a_line():
    with pytest.raises(
        ApoError, match=r"ros_gz_sim, ros_gz_bridge not installed: sudo apt-get install ros-\w+-ros-gz$"
    ):
        Launched("gazebo")


def test_given_folders_win_over_those_below_the_data_folder():
    launched = Launched("hitl", data_dir="/data", checkpoint_dir="/model", adapter_dir="/store")
    for name in ("policy", "trainer"):
        values = launched.parameters(name)
        assert (values["checkpoint_dir"], values["adapter_dir"]) == ("/model", "/store")
    assert launched.parameters("recorder")["episode_dir"] == "/data/episodes"


@pytest.mark.parametrize(("given", "expected"), [("true", True), ("false", False)])
def test_simulated_time_can_be_chosen(given, expected):
    launched = Launched("recorder", sim="false" if expected else "true", robot="/robot.yaml", use_sim_time=given)
    assert launched.parameters("recorder")["use_sim_time"] is expected


def test_a_parameter_file_is_read_last(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"image_compression": "lzf"}}}))
    launched = Launched("recorder", params_file=str(file))
    assert launched.parameter_files("recorder")[-1] == str(file)
    assert isinstance(launched.all_parameters("recorder")[-1], Path)


def test_what_a_parameter_file_sets_is_not_given_again(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**/recorder": {"ros__parameters": {"auto": False}}}))
    values = Launched("hitl", sim="true", params_file=str(file))
    assert "auto" not in values.parameters("recorder")
    assert values.parameters("sim_bridge")["auto_reset"] is True


@pytest.mark.parametrize(("namespace", "expected"), [("", ""), ("arm1", "arm1")])
def test_every_node_is_in_the_namespace(namespace, expected):
    launched = Launched("hitl", namespace=namespace)
    assert {launched.namespace(name) for name in launched.nodes} == {expected}


@pytest.mark.parametrize("name", ["teleop", "hitl"])
def test_without_an_operator_the_device_is_that_of_the_parameter_files(name):
    assert "device" not in Launched(name).parameters("teleop")


@pytest.mark.parametrize("operator", ["007", "1e3", "true", "a: b"])
def test_a_text_stays_a_text(operator):
    assert Launched("teleop", operator=operator).parameters("teleop")["device"] == operator
