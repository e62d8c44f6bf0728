"""Launch descriptions made from the table of nodes; needs the `launch_ros` of a ROS 2 installation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from apo_bringup.stack import nodes

# name, default, description
ARGUMENTS = (
    ("sim", "true", "start the simulation; false: a real robot publishes the topics of config/contract.yaml"),
    ("robot", "", "contract file of the robot: topics, shapes, units, limits; empty: the simulation's"),
    ("params_file", "", "ROS parameter file; wins over config/ and the other arguments"),
    ("checkpoint_dir", "", "folder of the base policy; empty: the one of the simulation"),
    ("adapter_dir", "", "adapter store that trainer and policy share; empty: adapters/ under data_dir"),
    ("expert_dir", "data/expert/lift", "expert demonstrations for the trainer"),
    ("data_dir", "runs/live", "where episodes, adapters and training runs go"),
    ("use_sim_time", "", "true: time comes from /clock; empty: true with the simulation, else false"),
    (
        "operator",
        "",
        "device of the operator: auto, spacemouse, joy, keyboard, scripted or none; empty: that of the parameter files",
    ),
    ("namespace", "", "ROS namespace of every node"),
    ("respawn", "true", "start a node again when it ends with an error"),
)


def _overrides(context: LaunchContext, entry: nodes.NodeEntry) -> dict[str, object]:
    def get(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    paths = nodes.default_paths(Path(get("data_dir")).resolve())
    if get("robot"):
        paths["contract_file"] = str(Path(get("robot")).resolve())
    for name in ("checkpoint_dir", "adapter_dir", "expert_dir"):
        if get(name):
            paths[name] = str(Path(get(name)).resolve())
    sim_time = get("use_sim_time") or get("sim")
    values: dict[str, object] = {name: paths[name] for name in entry.path_parameters}
    values["use_sim_time"] = sim_time.lower() == "true" and entry.group != nodes.SIM
    if get("sim").lower() == "true":
        values |= nodes.SIMULATED.get(entry.name, {})
    if entry.name == "teleop" and get("operator"):
        values["device"] = get("operator")
    return values


def _make(context: LaunchContext, names: Sequence[str]) -> list[Node]:
    simulated = LaunchConfiguration("sim").perform(context).lower() == "true"
    params_file = LaunchConfiguration("params_file").perform(context)
    namespace = LaunchConfiguration("namespace").perform(context)
    made = []
    for entry in map(nodes.node, names):
        if entry.group == nodes.SIM and not simulated:
            continue
        given = nodes.without_set(_overrides(context, entry), params_file, entry, namespace)
        parameters: list[object] = [str(nodes.share_dir() / "config" / entry.config_file), given]
        if params_file:
            parameters.append(str(Path(params_file).resolve()))
        made.append(
            Node(
                package=entry.package,
                executable=entry.executable,
                name=entry.name,
                namespace=namespace,
                parameters=parameters,
                additional_env=nodes.environment_for_nodes(),
                output="screen",
                respawn=LaunchConfiguration("respawn").perform(context) == "true",
                respawn_delay=1.0,
            )
        )
    return made


def describe(*names: str) -> LaunchDescription:
    """Arguments and nodes of a launch file.

    Args:
        names: which nodes of the table.
    """
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_make, args=[names])])
