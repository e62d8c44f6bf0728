"""The operator's node as a process, and the cell around it."""

import subprocess

import pytest
from node_command import node_command
from operator_cell import CONTRACT_FILE, Cell
from sensor_msgs.msg import Joy


@pytest.fixture
def cell(ros):
    made = Cell()
    yield made
    made.node.destroy_node()


@pytest.fixture
def joy_cell(cell):
    """A cell that publishes the messages of a joystick."""
    cell.joy = cell.node.create_publisher(Joy, "joy", 10)
    return cell


@pytest.fixture
def processes():
    """Processes that end with the test."""
    made: list[subprocess.Popen] = []
    yield made
    for process in made:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def start(cell, processes, meet):
    """(publishers that it must match, parameters) -> the node as a process, connected both ways."""

    def launch(*publishers, **parameters):
        # on a slow machine messages may pause; a test of their age gives its own
        arguments = {"contract_file": CONTRACT_FILE, "joy_stale_s": 5.0, "spacemouse_stale_s": 5.0, **parameters}
        command = node_command("apo_teleop.teleop_node", arguments)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        processes.append(process)
        cell.spin_until(lambda: all(p.get_subscription_count() for p in publishers), "the node's subscriptions")
        meet(cell.node, "teleop", cell.spin_until)
        return process

    return launch
