from pathlib import Path

import pytest
import yaml

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from apo_bringup.stack import gazebo
from apo_core.errors import ApoError


def test_without_gazebo_one_line_names_what_to_install(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    with pytest.raises(ApoError) as caught:
        gazebo.check_installed(lambda package: False)
    expected = "gazebo.launch.py: ros_gz_sim, ros_gz_bridge not installed: sudo apt-get install ros-kilted-ros-gz"
    assert str(caught.value) == expected


def test_a_part_of_gazebo_is_not_enough(monkeypatch):
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    with pytest.raises(ApoError, match="ros_gz_bridge not installed: sudo apt-get install ros-jazzy-ros-gz"):
        gazebo.check_installed(lambda package: package == "ros_gz_sim")
    gazebo.check_installed(lambda package: True)


def test_packages_are_looked_up_in_the_installation():
    assert gazebo.is_installed("apo_bringup") and not gazebo.is_installed("no_such_package")


def test_without_a_window_the_server_renders_alone():
    shown, alone = (gazebo.server_arguments(gui=gui) for gui in (True, False))
    assert shown.startswith("-r /") and alone.startswith("-r -s --headless-rendering /")
    assert Path(shown.split()[-1]).is_file() and shown.split()[-1] == alone.split()[-1]


def test_the_arm_is_spawned_and_the_bridge_has_its_file():
    spawn, bridge = gazebo.nodes()
    assert (spawn.package, spawn.executable) == ("ros_gz_sim", "create")
    given = dict(zip(spawn.arguments[::2], spawn.arguments[1::2], strict=True))
    assert (given["-world"], given["-name"]) == ("apo", "panda")
    assert Path(given["-file"]).name == "arm.urdf" and Path(given["-file"]).is_file()
    assert (bridge.package, bridge.executable) == ("ros_gz_bridge", "parameter_bridge")
    assert bridge.parameters["override_timestamps_with_wall_time"] is True
    assert len(yaml.safe_load(Path(bridge.parameters["config_file"]).read_text())) == 5
