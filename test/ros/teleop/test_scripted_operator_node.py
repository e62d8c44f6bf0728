"""The scripted operator's node as a process over DDS."""

import subprocess

import pytest
import yaml
from node_command import node_command
from operator_cell import WAIT_S
from small_contract import contract_data

from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import ControlStatus


def test_it_answers_every_tick(cell, start):
    parts = (cell.pose, cell.gripper, cell.objects, cell.status)
    start(*parts, device="scripted", reaction_s=0.2, reaction_spread=0.0)
    samples = [cell.answer(tick) for tick in range(20, 42)]
    assert [sample.active for sample in samples] == [False] * 20 + [True] * 2
    assert {sample.device for sample in samples} == {"scripted"}
    assert {tuple(sample.events) for sample in samples} == {("present",)}  # it is at hand though it rests


@pytest.mark.parametrize(("state", "clears"), [("HOLD", True), ("ESTOP", False)])
def test_it_clears_what_the_arbiter_has_latched_but_no_stop(cell, start, state, clears):
    control = cell.node.create_publisher(ControlStatus, "control/status", COMMANDS)
    start(cell.pose, cell.gripper, cell.objects, cell.status, control, device="scripted", clear_s=0.2)
    seen = []
    for tick in range(20, 32):
        before = len(cell.statuses)
        control.publish(ControlStatus(state=state, reason="operator_stale", latched=True))
        cell.spin_until(lambda before=before: len(cell.statuses) > before, "the status")
        seen += list(cell.answer(tick).events)
    assert ("clear" in seen) == clears and set(seen) <= {"clear", "present"}


def test_a_contract_without_the_gripper_width_ends_it(ros_domain, tmp_path):
    file = tmp_path / "contract.yaml"
    file.write_text(yaml.safe_dump(contract_data()))
    command = node_command("apo_teleop.teleop_node", {"contract_file": file, "device": "scripted"})
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "device = scripted: " in done.stderr and "gripper_width" in done.stderr
