"""The operator's node with a keyboard in a terminal."""

import os
import pty
import signal
import subprocess
import termios

import numpy as np
import pytest
from node_command import node_command
from operator_cell import (
    CONTRACT_FILE,
    WAIT_S,
    is_estop,
    is_lost,
    rests,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_keyboard_moves_presses_and_gives_the_terminal_back(cell, start, number):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    try:
        process = start(device="keyboard", keyboard_terminal=os.ttyname(slave))
        cell.until_sample(rests, "a resting keyboard")
        os.write(master, b"a")
        moving = cell.until_sample(lambda sample: sample.active, "motion")
        assert moving.values[1] > 0.01 and not any(np.delete(moving.values, 1))
        cell.until_sample(lambda sample: not sample.active, "rest")
        os.write(master, b" ")
        cell.until_sample(lambda sample: list(sample.events) == ["gripper_toggle"], "the gripper key")
        cell.enable(False)
        seen = len(cell.samples)
        os.write(master, b"a0")
        cell.until_sample(is_estop, "an emergency stop while disabled")
        assert not any(sample.active for sample in cell.samples[seen + 1 :])
        process.send_signal(number)
        cell.spin_until(lambda: process.poll() is not None, "the end of the node")
        assert process.returncode == 0
        assert termios.tcgetattr(slave) == before
        cell.spin_until(lambda: is_lost(cell.samples[-1]), "the last word of the node")
    finally:
        os.close(master)
        os.close(slave)


def test_a_keyboard_without_a_terminal_ends_with_the_parameter_to_change(ros_domain, tmp_path):
    parameters = {"contract_file": CONTRACT_FILE, "device": "keyboard", "keyboard_terminal": tmp_path / "none"}
    command = node_command("apo_teleop.teleop_node", parameters)
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "device = keyboard needs a terminal" in done.stderr
