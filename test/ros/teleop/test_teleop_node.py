"""The operator's node as a process over DDS: who is asked, and an answer to every tick."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from operator_cell import PERIOD_NS, REST, rests

from apo_core.ros.conversions import to_ns


@pytest.mark.parametrize("lockstep", [True, False])
def test_the_scripted_operator_answers_every_tick_and_takes_over(cell, start, lockstep):
    reaction = {"reaction_s": 0.2, "reaction_spread": 0.0}
    start(cell.pose, cell.gripper, cell.objects, cell.status, device="scripted", lockstep=lockstep, **reaction)
    samples = [cell.answer(tick) for tick in range(20, 42)]
    assert [sample.active for sample in samples] == [False] * 20 + [True] * 2
    assert {sample.device for sample in samples} == {"scripted"} and all(sample.connected for sample in samples)
    assert samples[-1].values[0] > 0.1 and samples[-1].values[6] == -1.0
    cell.enable(False)
    assert cell.until_diagnosed(lambda: None, DiagnosticStatus.OK, "connected")["enabled"] == "false"
    assert not cell.answer(42).active
    cell.enable(True)
    assert not cell.answer(43).active
    assert cell.answer(44, running=False).events == []
    assert len(cell.samples) == 25


def test_auto_in_simulation_without_a_spacemouse_is_the_scripted_operator(cell, start):
    start(cell.pose, cell.gripper, cell.objects, cell.status, device="auto", auto_wait_s=0.1, use_sim_time=True)
    assert cell.answer(20).device == "scripted"


def test_auto_takes_a_joystick_that_is_published(joy_cell, start):
    start(device="auto", auto_wait_s=30.0)
    assert joy_cell.until_joy(REST, rests, "a resting joystick").device == "joy"


def test_no_device_in_lockstep_answers_every_tick(cell, start):
    start(cell.pose, device="none", lockstep=True)
    for tick in range(5, 10):
        cell.send_pose(tick)
        cell.spin_until(lambda tick=tick: len(cell.samples) == tick - 4, f"the answer to tick {tick}")
        sample = cell.samples[-1]
        assert to_ns(sample.header.stamp) == tick * PERIOD_NS
        assert (sample.device, sample.connected, sample.active) == ("none", False, False)
