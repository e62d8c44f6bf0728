"""The recorder as a process, and the cell around it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from node_command import node_command
from recorder_cell import Cell

from apo_core.contract.contract import Contract
from apo_episodes.episode import Episode
from apo_episodes.reader import list_episodes, read_episode


@pytest.fixture
def cell(ros, make_observation):
    made = Cell(make_observation)
    yield made
    made.node.destroy_node()


@pytest.fixture
def launch(ros_domain: int, tmp_path: Path, small_contract: Contract, cell: Cell, meet):
    """(parameters) -> the recorder as a process, connected to the cell."""
    contract_file = tmp_path / "contract.yaml"
    contract_file.write_text(small_contract.json)
    processes = []

    def start(**parameters) -> subprocess.Popen:
        values = {"contract_file": contract_file, "episode_dir": tmp_path / "episodes", "lockstep": True, **parameters}
        command = node_command("apo_recorder.recorder_node", values)
        processes.append(subprocess.Popen(command, env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain)}))
        cell.wait_connected()
        meet(cell.node, "recorder", cell.spin_until)
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def episodes(tmp_path) -> Callable[[], list[Episode]]:
    return lambda: [read_episode(path) for path in list_episodes(tmp_path / "episodes")]
