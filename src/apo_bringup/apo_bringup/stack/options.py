"""What a person chooses when starting the nodes: one table for `apo up` and for the launch files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apo_bringup.stack import nodes
from apo_bringup.stack.arms import ARMS
from apo_core.config.parameters import ros_parameters
from apo_core.errors import ConfigError
from apo_core.tasks.specs import DEFAULT_TASK

MODES = ("lockstep", "realtime")
# simulated time waits for these in every tick; started apart from each other they run in real time
_WAITED_FOR = {"sim_bridge", "policy", "arbiter", "teleop"}
# simulated time is never ahead of the clock on the wall; where it waits for inference, a chunk is used longer
_PACED: dict[str, dict[str, object]] = {"sim_bridge": {"largest_pace": 1.0}, "policy": {"replan_steps": 4}}
OPERATOR_DEVICES = ("auto", "spacemouse", "joy", "keyboard", "browser", "scripted", "none")


@dataclass(frozen=True, slots=True)
class StartOption:
    """A launch argument and, where it has a flag, an option of `apo up`."""

    name: str  # of the launch argument
    description: str
    default: str = ""
    flag: str = ""  # of `apo up`; empty: it has none
    choices: tuple[str, ...] = ()  # that `apo up` takes; empty: any text


OPTIONS = (
    StartOption(
        "sim",
        "start the simulation; false: a robot publishes the topics of the contract, given as arm or robot; empty: true "
        "where no arm is given",
    ),
    StartOption(
        "arm",
        f"ready set of an arm, contract and parameters, of config/arms: {', '.join(ARMS)}",
        flag="arm",
        choices=ARMS,
    ),
    StartOption(
        "robot",
        "contract file of the robot: topics, shapes, units, limits; wins over that of arm; not needed with the "
        "simulation",
        flag="robot",
    ),
    StartOption("params_file", "ROS parameter file; wins over config/ and the other arguments", flag="params-file"),
    StartOption("checkpoint_dir", "folder of the base policy; empty: the one of the simulation", flag="checkpoint"),
    StartOption("adapter_dir", "adapter store that trainer and policy share; empty: adapters/ under data_dir"),
    StartOption(
        "expert_dir",
        "expert demonstrations for the trainer",
        default=DEFAULT_TASK.expert_dir,
        flag="expert-dir",
    ),
    StartOption(
        "data_dir", "where episodes, adapters, training runs and logs go", default="runs/live", flag="data-dir"
    ),
    StartOption("use_sim_time", "true: time comes from /clock; empty: true with the simulation, else false"),
    StartOption(
        "operator",
        f"device of the operator: {', '.join(OPERATOR_DEVICES)}; empty: that of the parameter files",
        flag="operator",
        choices=OPERATOR_DEVICES,
    ),
    StartOption(
        "mode",
        "of the simulation: lockstep: simulated time waits for every command and is never faster than real time; "
        "realtime: it does not wait",
        "lockstep",
        flag="mode",
        choices=MODES,
    ),
    StartOption("namespace", "ROS namespace of every node", flag="namespace"),
    StartOption("respawn", "start a node again when it ends with an error", default="true"),
)


def chosen_paths(data_dir: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Absolute value of every path parameter.

    Args:
        data_dir: folder of what the nodes write.
        given: path parameter -> chosen path; empty: the default.
    """
    chosen = {name: str(Path(value).resolve()) for name, value in given.items() if value}
    return {**nodes.default_paths(data_dir.resolve()), **chosen}


def check_contract(
    entries: Sequence[nodes.NodeEntry], robot: str, params_file: str, namespace: str, *, sim: bool
) -> None:
    """Rejects a start on a robot with the contract, and so the speeds and the workspace, of the simulation.

    Raises:
        ConfigError: no contract is given for some of the nodes.
    """
    if sim or robot:
        return

    def is_set(entry: nodes.NodeEntry) -> bool:
        theirs = ros_parameters(Path(params_file), entry.name, namespace) if params_file else None
        return "contract_file" in (theirs or {})

    lacking = [e.name for e in entries if "contract_file" in e.path_parameters and not is_set(e)]
    if lacking:
        fault = f"no contract for {', '.join(lacking)}: name the robot's, --robot FILE (robot:=FILE of launch files)"
        fault += f", or a ready arm, --arm {'|'.join(ARMS)} (arm:=...)"
        raise ConfigError("start", [f"{fault}, or start with --sim (sim:=true); docs/how-to/real_arm.md"])


def is_lockstep(entries: Sequence[nodes.NodeEntry], mode: str, *, sim: bool) -> bool:
    """Whether simulated time waits for the commands of the nodes that are started together.

    Raises:
        ConfigError: `mode` is none of MODES.
    """
    if mode not in MODES:
        raise ConfigError("start", [f"mode = {mode!r} must be one of: {', '.join(MODES)}"])
    return sim and mode == MODES[0] and {entry.name for entry in entries} >= _WAITED_FOR


def start_parameters(
    entry: nodes.NodeEntry,
    paths: Mapping[str, str],
    *,
    sim: bool,
    use_sim_time: bool,
    device: str,
    urdf: str = "",
    lockstep: bool = False,
) -> dict[str, object]:
    """What a node is given beside its parameter files.

    Args:
        entry: the node.
        paths: every path parameter.
        sim: the robot is simulated.
        use_sim_time: time comes from /clock, for all but the simulation itself.
        device: of the operator; empty: that of the parameter files.
        urdf: file of the arm; empty: that of the parameter files.
        lockstep: simulated time waits, at most as fast as real time.
    """
    values: dict[str, object] = {name: paths[name] for name in entry.path_parameters}
    values["use_sim_time"] = use_sim_time and not entry.is_simulation
    if sim:
        values |= nodes.SIMULATED.get(entry.name, {})
    if lockstep and entry.has_lockstep:
        values |= {"lockstep": True, **_PACED.get(entry.name, {})}
    if entry.name == "teleop" and device:
        values["device"] = device
    if entry.reads_urdf and urdf:
        values["urdf_file"] = urdf
    return values
