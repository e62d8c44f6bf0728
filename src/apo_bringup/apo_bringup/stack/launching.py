"""Launch descriptions made from the table of nodes; needs the `launch_ros` of a ROS 2 installation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from apo_bringup.stack import nodes
from apo_bringup.stack.options import OPTIONS, check_contract, chosen_paths, start_parameters


def _overrides(context: LaunchContext, entry: nodes.NodeEntry) -> dict[str, object]:
    def get(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    given = {name: get(name) for name in ("checkpoint_dir", "adapter_dir", "expert_dir")}
    paths = chosen_paths(Path(get("data_dir")), {"contract_file": get("robot"), **given})
    return start_parameters(
        entry,
        paths,
        sim=get("sim").lower() == "true",
        use_sim_time=(get("use_sim_time") or get("sim")).lower() == "true",
        device=get("operator"),
    )


def _make(context: LaunchContext, names: Sequence[str]) -> list[Node]:
    simulated = LaunchConfiguration("sim").perform(context).lower() == "true"
    params_file = LaunchConfiguration("params_file").perform(context)
    namespace = LaunchConfiguration("namespace").perform(context)
    entries = [entry for entry in map(nodes.node, names) if simulated or not entry.is_simulation]
    robot = LaunchConfiguration("robot").perform(context)
    check_contract(entries, robot, params_file, namespace, sim=simulated)
    made = []
    for entry in entries:
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
    declared = [
        DeclareLaunchArgument(option.name, default_value=option.default, description=option.description)
        for option in OPTIONS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_make, args=[names])])
