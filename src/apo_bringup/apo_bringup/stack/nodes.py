"""The one table of nodes, read by the launch files and by the pip-only runner."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_package_share_directory

from apo_core.config.parameters import ros_parameters, sections
from apo_core.errors import ConfigError
from apo_core.ros.environment import transport_environment
from apo_core.tasks.specs import DEFAULT_TASK, task_spec

_NAMESPACE = re.compile(r"([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node: how to start it and what it reads."""

    name: str
    package: str
    executable: str
    path_parameters: tuple[str, ...] = ("contract_file",)  # parameters that `default_paths` fills
    is_simulation: bool = False  # in place of a robot: the source of simulated time
    has_lockstep: bool = True  # has the parameter `lockstep`
    reads_urdf: bool = False  # has the parameter `urdf_file`
    has_images: bool = False  # sends or receives them: in shared memory, since UDP loses frames of cameras

    @property
    def config_file(self) -> str:
        return f"{self.name}.yaml"


NODES = (
    NodeEntry("sim_bridge", "apo_sim_bridge", "sim_bridge_node", is_simulation=True, has_images=True),
    NodeEntry(
        "policy", "apo_policy_node", "policy_node", ("contract_file", "checkpoint_dir", "adapter_dir"), has_images=True
    ),
    NodeEntry("arbiter", "apo_teleop", "arbiter_node", reads_urdf=True),
    NodeEntry("teleop", "apo_teleop", "teleop_node"),
    NodeEntry("recorder", "apo_recorder", "recorder_node", ("contract_file", "episode_dir"), has_images=True),
    NodeEntry(
        "trainer",
        "apo_trainer",
        "trainer_node",
        ("checkpoint_dir", "adapter_dir", "episode_dir", "expert_dir", "run_dir"),
        has_lockstep=False,
    ),
    NodeEntry(
        "console",
        "apo_console",
        "console_node",
        ("contract_file", "episode_dir", "adapter_dir", "run_dir", "export_dir", "tls_dir", "address_file"),
        has_lockstep=False,
        has_images=True,
    ),
)

# beside the arbiter of an arm that needs them (`stack/arms.py`); started by name on other arms
COMPANIONS = (
    NodeEntry("tip_pose", "apo_teleop", "tip_pose_node", has_lockstep=False, reads_urdf=True),
    NodeEntry("gripper_action", "apo_teleop", "gripper_action_node", (), has_lockstep=False),
)

# streams for the viewers that people have; started by name
VIEWERS = (
    NodeEntry(
        "foxglove",
        "apo_console",
        "foxglove_node",
        ("contract_file", "layout_file"),
        has_lockstep=False,
        has_images=True,
    ),
    NodeEntry("rerun", "apo_console", "rerun_node", has_lockstep=False, has_images=True),
)

# what lets the loop run by itself where nothing can be harmed: trials follow each other, each is an episode
SIMULATED = {
    "sim_bridge": {"auto_reset": True},
    "arbiter": {"start_enabled": True},
    "recorder": {"auto": True},
}


def node(name: str) -> NodeEntry:
    """The entry of a node.

    Raises:
        KeyError: no such node; the message lists them.
    """
    for entry in (*NODES, *COMPANIONS, *VIEWERS):
        if entry.name == name:
            return entry
    raise KeyError(f"no node '{name}'; the nodes are {', '.join(names())}")


def names() -> list[str]:
    """Of every node that can be started."""
    return [entry.name for entry in (*NODES, *COMPANIONS, *VIEWERS)]


def share_dir() -> Path:
    """Installed launch files, configuration and base policies."""
    return Path(get_package_share_directory("apo_bringup"))


def default_paths(data_dir: Path) -> dict[str, str]:
    """Absolute default of every path parameter; what nodes write goes under `data_dir`."""
    return {
        "contract_file": str(share_dir() / "config" / "contract.yaml"),
        "checkpoint_dir": str(share_dir() / DEFAULT_TASK.checkpoint_dir),
        "adapter_dir": str(data_dir / "adapters"),
        "episode_dir": str(data_dir / "episodes"),
        "expert_dir": str(data_dir / "expert"),
        "run_dir": str(data_dir / "training"),
        "export_dir": str(data_dir / "exports"),
        "tls_dir": str(data_dir / "tls"),
        "address_file": str(data_dir / "console_address"),
        "layout_file": str(data_dir / "foxglove_layout.json"),
    }


def base_policy_dir(task: str) -> Path:
    """The task's base policy: as shipped, or as `apo base-policy` writes it under the working directory.

    Raises:
        ConfigError: neither exists.
    """
    name = task_spec(task).checkpoint_dir
    folders = [share_dir() / name, Path.cwd() / name]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        fault = f"{name} does not exist: make it with `./apo base-policy --set task={task}`, or name --checkpoint"
        raise ConfigError(f"base policy of {task}", [fault])
    return found


def executable_path(entry: NodeEntry) -> Path:
    """The installed program of a node.

    Raises:
        PackageNotFoundError: the package is not in the sourced workspace.
    """
    return Path(get_package_prefix(entry.package)) / "lib" / entry.package / entry.executable


def yaml_text(value: object) -> str:
    """A parameter value as `-p name:=value` takes it: YAML that keeps its type.

    Args:
        value: str, bool, int, float, or a list or tuple of them.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a YAML string in double quotes, whatever is in it
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_text, value))}]"
    return str(value)


def without_set(
    parameters: Mapping[str, object], params_files: Sequence[str], entry: NodeEntry, namespace: str
) -> dict[str, object]:
    """`parameters` without those that one of the files sets for the node.

    rcl ranks sections by the place where their name came first, not by the order of the files: a value given by
    itself, whose section is `/**`, would win over the section `/**/<node>` of a later file.

    Raises:
        ConfigError: a file cannot be read, or has a value of another type than the shipped one.
    """
    left = dict(parameters)
    for file in params_files:
        theirs = ros_parameters(Path(file), entry.name, namespace) or {}
        _check_types(theirs, entry, file)
        left = {name: value for name, value in left.items() if name not in theirs}
    return left


def foreign_sections(params_file: str) -> list[str]:
    """Sections of a parameter file that are for none of these nodes: of others, or misspelt.

    Raises:
        ConfigError: the file cannot be read.
    """
    known = {"**", *names()}
    return [name for name in sections(Path(params_file)) if name.rpartition("/")[2] not in known]


def _check_types(theirs: Mapping[str, object], entry: NodeEntry, params_file: str) -> None:
    """rcl drops some values of another type than an earlier file gave the same name, without a warning."""
    shipped = ros_parameters(share_dir() / "config" / entry.config_file, entry.name) or {}
    faults = [
        f"{name} = {value!r} must be of type {_type(shipped[name])}, as in config/{entry.config_file}"
        for name, value in theirs.items()
        if name in shipped and not _same_type(value, shipped[name])
    ]
    if faults:
        raise ConfigError(params_file, faults)


def check_settings(entry: NodeEntry, settings: Mapping[str, object]) -> None:
    """Rejects values of the command line that are for no parameter of the node, or of another type.

    Raises:
        ConfigError: all of them.
    """
    shipped = ros_parameters(share_dir() / "config" / entry.config_file, entry.name) or {}
    faults = [
        f"--set {name}: {entry.name} has no such parameter (config/{entry.config_file})"
        for name in settings
        if name not in shipped
    ]
    if faults:
        raise ConfigError("command line", faults)
    _check_types(settings, entry, "command line")


def _same_type(value: object, shipped: object) -> bool:
    return [] in (value, shipped) or _type(value) == _type(shipped)


def _type(value: object) -> str:
    if isinstance(value, list) and value:
        return f"list of {_type(value[0])}"
    return type(value).__name__


def namespace_arguments(namespace: str) -> list[str]:
    """The ROS arguments that put a node into a namespace; none where it is empty.

    Raises:
        ConfigError: it is not a valid ROS name; rcl would end the node with a parser error.
    """
    name = namespace.strip("/")
    if not _NAMESPACE.fullmatch(name):
        rule = "must be names of letters, digits and _ that begin with no digit, joined by /"
        raise ConfigError("command line", [f"--namespace {namespace!r} {rule}"])
    return ["-r", f"__ns:=/{name}"] if name else []


def command_line(
    entry: NodeEntry,
    parameters: Mapping[str, object],
    *,
    namespace: str = "",
    params_files: Sequence[str] = (),
) -> list[str]:
    """Program and arguments of a node; later sources win: its config file, `parameters`, then each of `params_files`.

    Raises:
        ConfigError: see `without_set` and `namespace_arguments`.
    """
    command = [str(executable_path(entry)), "--ros-args", *namespace_arguments(namespace)]
    command += ["--params-file", str(share_dir() / "config" / entry.config_file)]
    for name, value in without_set(parameters, params_files, entry, namespace).items():
        command += ["-p", f"{name}:={yaml_text(value)}"]
    for file in params_files:
        command += ["--params-file", os.path.abspath(file)]
    return command


def environment_for_node(entry: NodeEntry) -> dict[str, str]:
    """What the process of a node needs besides the inherited environment."""
    return {
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_COLORIZED_OUTPUT": os.environ.get("RCUTILS_COLORIZED_OUTPUT", "0"),
        # threads that spin while they wait would starve the other nodes of a small machine
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        **transport_environment(os.environ, has_images=entry.has_images),
    }
