"""Launch descriptions made from the table of nodes; needs the `launch_ros` of a ROS 2 installation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from apo_bringup.stack import gazebo, nodes
from apo_bringup.stack.arms import arm_set
from apo_bringup.stack.options import OPTIONS, check_contract, chosen_paths, is_lockstep, start_parameters
from apo_bringup.stack.restarting import OnExit, start_again

_PAUSE_S = 1.0  # before a node that failed is started again


def _make(context: LaunchContext, names: Sequence[str]) -> list[Node]:
    def get(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    simulated = (get("sim") or str(not get("arm"))).lower() == "true"
    arm, namespace = arm_set(get("arm"), sim=simulated), get("namespace")
    robot, params_files = get("robot") or arm.contract, [file for file in (arm.parameters, get("params_file")) if file]
    entries = [entry for entry in map(nodes.node, names) if simulated or not entry.is_simulation]
    entries = arm.companions(entries, namespace)
    check_contract(entries, robot, get("params_file"), namespace, sim=simulated)
    lockstep, again = is_lockstep(entries, get("mode"), sim=simulated), get("respawn") == "true"
    given = {name: get(name) for name in ("checkpoint_dir", "adapter_dir", "expert_dir")}
    paths = chosen_paths(Path(get("data_dir")), {"contract_file": robot, **given})
    made = []
    for entry in entries:
        values = start_parameters(
            entry,
            paths,
            sim=simulated,
            use_sim_time=(get("use_sim_time") or str(simulated)).lower() == "true",
            device=get("operator"),
            urdf=arm.urdf,
            lockstep=lockstep,
        )
        parameters: list[object] = [str(nodes.share_dir() / "config" / entry.config_file)]
        parameters += [nodes.without_set(values, params_files, entry, namespace)]
        parameters += [str(Path(file).resolve()) for file in params_files]
        make = partial(
            Node,
            package=entry.package,
            executable=entry.executable,
            name=entry.name,
            namespace=namespace,
            parameters=parameters,
            additional_env=nodes.environment_for_node(entry),
            output="both",
        )
        made.append(start_again(partial(_with_on_exit, make), _PAUSE_S) if again else make())
    return made


def _with_on_exit(make: Callable[..., Node], on_exit: OnExit) -> Node:
    return make(on_exit=on_exit)


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


def _make_gazebo(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    gazebo.check_installed()
    gui = LaunchConfiguration("gui").perform(context).lower() == "true"
    source = Path(get_package_share_directory("ros_gz_sim")) / "launch" / "gz_sim.launch.py"
    arguments = {"gz_args": gazebo.server_arguments(gui=gui), "on_exit_shutdown": "true"}
    server = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(source)), launch_arguments=arguments.items())
    beside = [
        Node(
            package=node.package,
            executable=node.executable,
            namespace=LaunchConfiguration("namespace").perform(context),
            arguments=list(node.arguments),
            parameters=[node.parameters] if node.parameters else [],
            output="both",
        )
        for node in gazebo.nodes()
    ]
    return [server, *beside]


def describe_gazebo() -> LaunchDescription:
    """Arguments and processes of gazebo.launch.py."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("gui", default_value="true", description="false: no window, the server alone"),
            DeclareLaunchArgument("namespace", default_value="", description="ROS namespace of the bridge's topics"),
            OpaqueFunction(function=_make_gazebo),
        ]
    )
