"""Processes of a launch file that end, run by the real `launch`."""

import sys
from pathlib import Path

import pytest

# the folder launch/ of this checkout passes for the package itself
pytest.importorskip("launch.actions", reason="launch is missing: it comes with a ROS 2 installation, not from PyPI")

from launch import LaunchDescription, LaunchService
from launch.actions import ExecuteProcess

from apo_bringup.stack.restarting import start_again

# each run adds a line; all but the last of `runs` end with `status`
PROGRAM = """
import sys
path, status, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
open(path, "a").write("run\\n")
sys.exit(status if len(open(path).readlines()) < runs else 0)
"""


def starts(path: Path, status: int, runs: int = 3) -> int:
    command = [sys.executable, "-c", PROGRAM, str(path), str(status), str(runs)]
    service = LaunchService(noninteractive=True)
    process = start_again(lambda on_exit: ExecuteProcess(cmd=command, on_exit=on_exit), 0.05)
    service.include_launch_description(LaunchDescription([process]))
    assert service.run() == 0 or status
    return len(path.read_text().splitlines())


def test_a_process_that_fails_is_started_again_until_it_ends_well(tmp_path):
    assert starts(tmp_path / "runs", 1) == 3


@pytest.mark.parametrize("status", [0, 2, 102])
def test_a_process_that_would_end_the_same_way_is_not(tmp_path, status):
    assert starts(tmp_path / "runs", status) == 1
