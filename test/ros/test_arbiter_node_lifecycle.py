"""The arbiter over DDS: what it logs at the start, and how it ends."""

import signal

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from apo_core.ros.qos import COMMANDS


def test_a_flood_of_motion_comes_to_nothing_after_the_last_command(cell, start_arbiter):
    process = start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    deactivate = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert cell.call("change_state", deactivate, flood=50).success
    assert cell.call("estop").success  # it still answers
    assert process.poll() is None
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")


def test_a_timer_that_runs_out_behind_the_request_does_not_end_it(cell, start_arbiter):
    process = start_arbiter(start_enabled=True, publisher_check_s=0.05)
    cell.until_state("POLICY", "policy_in_control")
    for _ in range(15):
        for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            assert cell.call("change_state", ChangeState.Request(transition=Transition(id=number)), flood=200).success
    cell.until_state("POLICY", "policy_in_control")
    assert process.poll() is None


def test_an_invalid_transition_is_rejected_and_control_goes_on(cell, start_arbiter):
    process = start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, 200):
        assert not cell.call("change_state", ChangeState.Request(transition=Transition(id=number))).success
    cell.until_state("POLICY", "policy_in_control")
    assert process.poll() is None


def test_shutdown_of_the_lifecycle_ends_the_motion(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    shutdown = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN))
    assert cell.call("change_state", shutdown).success
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")
    ended = len(cell.commands)
    for _ in range(5):
        cell.send_all()
        cell.call("estop")
    assert len(cell.commands) == ended


def test_no_gripper_moves_before_it_is_commanded(cell, start_arbiter):
    gripper: list[JointTrajectory] = []
    cell.node.create_subscription(JointTrajectory, "gripper_command", gripper.append, COMMANDS)
    start_arbiter(policy_silent_s=0.5)
    held = cell.until_state("IDLE", "disabled")
    cell.spin_until(lambda: cell.commands[-1].tick > held.tick + 5, "ticks", flow=True)
    assert gripper == []
    cell.policy_publishes = False
    cell.call("enable", SetBool.Request(data=True))
    cell.until_state("HOLD", "policy_silent")
    cell.active = True
    driven = cell.until_state("HUMAN", "operator_motion")
    cell.spin_until(lambda: cell.commands[-1].tick > driven.tick + 5, "ticks", flow=True)
    assert gripper == []
    cell.active, cell.policy_publishes = False, True
    cell.spin_until(lambda: gripper, "the gripper's command", flow=True)


def test_it_can_be_deactivated_and_activated_again(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    deactivate, activate = (
        ChangeState.Request(transition=Transition(id=number))
        for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
    )
    assert cell.call("change_state", deactivate).success
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")
    assert not any(cell.commands[-1].values[:6])
    ended = len(cell.commands)
    assert cell.call("change_state", activate).success
    cell.until_state("POLICY", "policy_in_control")
    assert cell.commands[ended].tick == 1


def test_limits_that_are_not_set_are_reported_at_the_start(cell, start_arbiter, write_contract):
    file = write_contract(lambda data: data["limits"].pop("linear_jerk"))
    process = start_arbiter(contract_file=file)
    process.send_signal(signal.SIGINT)
    log = process.stdout.read()
    assert log.count(f"limits.linear_jerk is not set in {file}: no such limit applies") == 1
    assert "is not set" not in log.replace("limits.linear_jerk is not set", "")


def test_the_last_command_is_safe(cell, start_arbiter):
    process = start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    process.send_signal(signal.SIGINT)
    cell.spin_until(lambda: process.poll() is not None, "the end of the arbiter", flow=True)
    assert process.returncode == 0
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")
    last = cell.commands[-1]
    assert last.source == "HOLD" and not any(last.values[:6])
