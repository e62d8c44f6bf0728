"""The launch files, run by the real `launch_ros`; it is not on PyPI, so this runs beside a ROS 2 installation."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is missing: it comes with a ROS 2 installation, not from PyPI")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
STARTS = {
    "policy": ["policy"],
    "teleop": ["teleop", "arbiter"],
    "recorder": ["recorder"],
    "trainer": ["trainer"],
    "sim": ["sim_bridge"],
    "hitl": ["sim_bridge", "policy", "arbiter", "teleop", "recorder", "trainer"],
}


def started(name: str, **arguments: str) -> list[Node]:
    description = runpy.run_path(str(LAUNCH / f"{name}.launch.py"))["generate_launch_description"]()
    context = LaunchContext()
    for key, value in arguments.items():
        context.launch_configurations[key] = value
    nodes = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            assert entity.description
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            nodes += entity.execute(context)
    return nodes


def test_every_launch_file_is_covered():
    assert {p.name.removesuffix(".launch.py") for p in LAUNCH.glob("*.launch.py")} == set(STARTS)


@pytest.mark.parametrize("name", STARTS)
def test_a_launch_file_starts_its_nodes(name):
    assert [node._Node__node_name for node in started(name)] == STARTS[name]


def test_without_simulation_the_bridge_is_left_out():
    assert "sim_bridge" not in [node._Node__node_name for node in started("hitl", sim="false")]
