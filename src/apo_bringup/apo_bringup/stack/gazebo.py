"""What `gazebo.launch.py` starts: Gazebo with the world of config/arms/gazebo, its arm, and the bridge to ROS 2."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from apo_bringup.stack.arms import arms_dir
from apo_core.errors import ApoError

WORLD, MODEL = "apo", "panda"  # names of the world in world.sdf and of the arm in it
PACKAGES = ("ros_gz_sim", "ros_gz_bridge")


@dataclass(frozen=True, slots=True)
class GazeboNode:
    """A node of ros_gz: the arm's spawner or the bridge."""

    package: str
    executable: str
    arguments: tuple[str, ...] = ()
    parameters: dict[str, object] = field(default_factory=dict)


def is_installed(package: str) -> bool:
    """Whether the ROS installation has a package."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def check_installed(has: Callable[[str], bool] = is_installed) -> None:
    """Rejects a start without Gazebo.

    Raises:
        ApoError: one line that names the missing packages and how they are installed.
    """
    missing = [package for package in PACKAGES if not has(package)]
    if missing:
        install = f"sudo apt-get install ros-{os.environ.get('ROS_DISTRO') or 'jazzy'}-ros-gz"
        raise ApoError(f"gazebo.launch.py: {', '.join(missing)} not installed: {install}")


def server_arguments(*, gui: bool) -> str:
    """Arguments of `gz sim`: the world, running at once; without `gui` the server alone, which renders offscreen."""
    return f"-r {'' if gui else '-s --headless-rendering '}{arms_dir() / 'gazebo' / 'world.sdf'}"


def nodes() -> list[GazeboNode]:
    """The nodes beside Gazebo itself."""
    folder = arms_dir() / "gazebo"
    spawn = ("-world", WORLD, "-name", MODEL, "-file", str(folder / "arm.urdf"))
    # stamps of the wall clock: apo then runs as on a robot, without a clock of hundreds of messages a second
    bridge = {"config_file": str(folder / "bridge.yaml"), "override_timestamps_with_wall_time": True}
    return [
        GazeboNode("ros_gz_sim", "create", arguments=spawn),
        GazeboNode("ros_gz_bridge", "parameter_bridge", parameters=bridge),
    ]
