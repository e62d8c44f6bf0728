"""Ready sets of arms: the contract and the parameters of each, in the folders of config/arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apo_bringup.stack import nodes
from apo_core.config.parameters import ros_parameters
from apo_core.errors import ConfigError

ARMS = ("franka", "gazebo", "ur5e", "xarm7")  # the folders of config/arms


@dataclass(frozen=True, slots=True)
class ArmSet:
    """Files of one arm; paths are empty where there is no arm, or no such file."""

    contract: str = ""
    parameters: str = ""  # ROS parameter file, read between config/ and the user's own
    urdf: str = ""  # of an arm whose driver publishes no description

    def companions(self, wanted: Sequence[nodes.NodeEntry], namespace: str) -> list[nodes.NodeEntry]:
        """`wanted`, and with the arbiter the nodes that this arm needs beside it: those with parameters in its file."""
        if not self.parameters or "arbiter" not in [entry.name for entry in wanted]:
            return list(wanted)
        needed = [e for e in nodes.COMPANIONS if ros_parameters(Path(self.parameters), e.name, namespace)]
        return [*wanted, *(entry for entry in needed if entry not in wanted)]


def arms_dir() -> Path:
    """Installed folder of the sets."""
    return nodes.share_dir() / "config" / "arms"


def arm_set(name: str, *, sim: bool) -> ArmSet:
    """The files of an arm; those of none for an empty name.

    Raises:
        ConfigError: no such arm, or the simulation is to start too.
    """
    if not name:
        return ArmSet()
    if name not in ARMS:
        raise ConfigError("start", [f"no arm {name!r} in config/arms; the arms are {', '.join(ARMS)}"])
    if sim:
        raise ConfigError("start", [f"arm {name!r} is in place of the simulation: leave out --sim (sim:=true)"])
    folder = arms_dir() / name
    urdf = folder / "arm.urdf"
    return ArmSet(str(folder / "contract.yaml"), str(folder / "parameters.yaml"), str(urdf) if urdf.is_file() else "")
