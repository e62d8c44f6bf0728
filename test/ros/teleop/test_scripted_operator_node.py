"""The scripted operator's node as a process over DDS."""

import subprocess

import yaml
from node_command import node_command
from operator_cell import WAIT_S
from small_contract import contract_data


def test_it_answers_every_tick(cell, start):
    parts = (cell.pose, cell.gripper, cell.objects, cell.status)
    start(*parts, device="scripted", reaction_s=0.2, reaction_spread=0.0)
    samples = [cell.answer(tick) for tick in range(20, 42)]
    assert [sample.active for sample in samples] == [False] * 20 + [True] * 2
    assert {sample.device for sample in samples} == {"scripted"}
    assert {tuple(sample.events) for sample in samples} == {("present",)}  # it is at hand though it rests


def test_a_contract_without_the_gripper_width_ends_it(ros_domain, tmp_path):
    file = tmp_path / "contract.yaml"
    file.write_text(yaml.safe_dump(contract_data()))
    command = node_command("apo_teleop.teleop_node", {"contract_file": file, "device": "scripted"})
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "device = scripted: " in done.stderr and "gripper_width" in done.stderr
