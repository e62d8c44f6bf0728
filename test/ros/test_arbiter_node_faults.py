"""The arbiter over DDS: emergency stops, and faults of policy, device, robot and clock."""

import fcntl
import itertools
import math
import subprocess
import sys

import pytest
from arbiter_cell import CONTRACT_FILE
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image
from std_msgs.msg import Bool

from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_interfaces.msg import ActionChunk as ActionChunkMessage
from apo_interfaces.msg import ActionCommand, AdapterStatus, OperatorCommand


@pytest.mark.parametrize("period_s", [math.nan, math.inf])
def test_a_chunk_whose_period_is_not_finite_holds(cell, start_arbiter, period_s):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.period_s = period_s
    cell.until_state("HOLD", "chunk_malformed")
    cell.period_s = None
    cell.until_state("POLICY", "policy_in_control")


def test_a_silent_policy_holds_and_comes_back(cell, start_arbiter):
    start_arbiter(start_enabled=True, policy_silent_s=0.15)
    cell.until_state("POLICY", "policy_in_control")
    cell.policy_publishes = False
    cell.until_state("HOLD", "policy_silent")
    cell.policy_publishes = True
    cell.until_state("POLICY", "policy_in_control")
    assert not any(s.latched for s in cell.statuses)


def test_a_device_lost_while_driving_latches_until_cleared(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    cell.active = cell.connected = False
    cell.until_state("HOLD", "device_lost")
    cell.connected = cell.active = True
    cell.until_state("HOLD", "device_lost")
    assert cell.statuses[-1].latched
    cell.active = False
    assert cell.call("clear").message == "cleared device_lost"
    cell.until_state("POLICY", "policy_in_control")


def test_an_emergency_stop_latches_until_cleared(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    assert cell.call("estop").success
    cell.active = True
    command = cell.until_state("ESTOP", "estop")
    assert command.source == "HOLD"
    assert not any(cell.until_state("ESTOP", "estop").values[:6])
    cell.active = False
    cell.call("clear")
    cell.until_state("POLICY", "policy_in_control")


def test_an_emergency_stop_by_topic_cannot_be_cleared_while_it_lasts(cell, start_arbiter):
    process = start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    button = cell.node.create_publisher(Bool, "estop", COMMANDS)
    cell.spin_until(button.get_subscription_count, "the arbiter's subscription to the stop", flow=True)
    button.publish(Bool(data=True))
    assert cell.until_state("ESTOP", "estop").source == "HOLD"
    rejected = cell.call("clear")
    assert (rejected.success, rejected.message) == (False, "a publisher on the topic estop requests a stop")
    assert cell.until_state("ESTOP", "estop").source == "HOLD"
    button.publish(Bool(data=False))
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)
    cell.until_state("POLICY", "policy_in_control")
    process.terminate()
    # one of its subscriptions does not fit this publisher, another does
    assert "incompatible QoS" not in process.stdout.read()


def test_a_remapped_best_effort_stop_holds_while_it_lasts(cell, start_arbiter):
    start_arbiter(start_enabled=True, remap="estop:=cell/stop")
    cell.until_state("POLICY", "policy_in_control")
    button = cell.node.create_publisher(Bool, "cell/stop", sensors("best_effort"))
    # a message that is lost is not sent again: such a button repeats itself
    pressing = cell.node.create_timer(0.1, lambda: button.publish(Bool(data=True)))
    cell.until_state("ESTOP", "estop")
    cell.node.destroy_timer(pressing)
    # longer than a stop counts without its publisher
    seen = len(cell.commands)
    cell.spin_until(lambda: len(cell.commands) > seen + 60, "three seconds of ticks", flow=True)
    assert not cell.call("clear").success
    cell.node.create_timer(0.1, lambda: button.publish(Bool(data=False)))
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)


def test_an_emergency_stop_pressed_before_the_start_holds(cell, start_arbiter):
    button = cell.node.create_publisher(Bool, "estop", LATCHED)
    button.publish(Bool(data=True))
    start_arbiter(start_enabled=True)
    cell.until_state("ESTOP", "estop")
    # its publisher is gone: a person may clear it
    cell.node.destroy_publisher(button)
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)
    cell.until_state("POLICY", "policy_in_control")


def test_a_stop_holds_until_the_publisher_that_sent_it_withdraws_it(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    button, other = (cell.node.create_publisher(Bool, "estop", COMMANDS) for _ in range(2))
    connected = lambda: button.get_subscription_count() and other.get_subscription_count()  # noqa: E731
    cell.spin_until(connected, "the arbiter's subscription to the stop", flow=True)
    button.publish(Bool(data=True))
    cell.until_state("ESTOP", "estop")
    cell.node.create_timer(0.05, lambda: other.publish(Bool(data=False)))
    seen = len(cell.commands)
    cell.spin_until(lambda: len(cell.commands) > seen + 60, "three seconds of ticks", flow=True)
    assert not cell.call("clear").success
    assert {command.reason for command in cell.commands[seen:]} == {"estop"}
    button.publish(Bool(data=False))
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)
    cell.until_state("POLICY", "policy_in_control")
    button.publish(Bool(data=True))
    cell.until_state("ESTOP", "estop")
    # its publisher is gone, the other sends false: the stop stays until a person clears it
    cell.node.destroy_publisher(button)
    seen = len(cell.commands)
    cell.spin_until(lambda: len(cell.commands) > seen + 60, "three seconds of ticks", flow=True)
    assert {command.reason for command in cell.commands[seen:]} == {"estop"}
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)


def test_an_adapter_nobody_announced_does_not_drive(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.adapter = 7
    held = cell.until_state("HOLD", "adapter_unknown")
    assert not held.policy_values
    cell.announce(7)
    assert cell.until_state("POLICY", "policy_in_control").adapter_version == 7
    cell.adapter = 6
    cell.until_state("POLICY", "policy_in_control")
    assert cell.statuses[-1].reason == "policy_in_control"


def test_measured_motion_is_watched(cell, start_arbiter, write_contract):
    feedback = {"topic": "ee_twist", "type": "geometry_msgs/msg/TwistStamped"}
    start_arbiter(contract_file=write_contract(lambda data: data.update(feedback=feedback)), start_enabled=True)
    cell.until_state("HOLD", "feedback_missing")
    cell.make_feedback()
    cell.until_state("POLICY", "policy_in_control")
    cell.until_state("HOLD", "robot_not_following")
    assert cell.statuses[-1].latched
    assert cell.call("clear").message == "cleared robot_not_following"
    cell.until_state("POLICY", "policy_in_control")


POLICY_PROGRAM = """
import sys, time
import numpy as np
import rclpy
from apo_core.contract.contract import load_contract
from apo_core.ros.action_chunk import chunk_to_msg
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_core.types import ActionChunk as Chunk
from apo_interfaces.msg import ActionChunk, AdapterStatus

contract = load_contract(sys.argv[1])
rclpy.init()
node = rclpy.create_node("policy")
status = node.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
status.publish(AdapterStatus(state="LOADED", version=2))
chunks = node.create_publisher(ActionChunk, "policy/chunk", COMMANDS)
rows = np.tile(np.array([0.3, 0, 0, 0, 0, 0, -1], np.float32), (10, 1))
while True:
    now = node.get_clock().now().nanoseconds
    chunks.publish(chunk_to_msg(Chunk(now, contract.period_ns, rows, np.zeros(10, np.float32), 2), now, contract, 0.0))
    time.sleep(0.02)
"""


def test_a_policy_that_is_killed_while_it_drives_ends_in_a_ramp(cell, start_arbiter):
    cell.be_without_policy()
    policy = subprocess.Popen([sys.executable, "-c", POLICY_PROGRAM, str(CONTRACT_FILE)])
    try:
        start_arbiter(start_enabled=True, policy_silent_s=0.25, linear_deceleration=0.2)
        cell.until_state("POLICY", "policy_in_control")
        cell.spin_until(lambda: cell.commands[-1].source == "POLICY", "the policy's command", flow=True)
    finally:
        policy.kill()
        policy.wait()
    cell.until_state("HOLD", "policy_silent")
    cell.spin_until(lambda: not any(cell.commands[-1].values[:6]), "standstill", flow=True)
    driven = max(i for i, c in enumerate(cell.commands) if c.source == "POLICY")
    ramp = cell.commands[driven:]
    assert {(c.source, c.reason) for c in ramp[1:]} == {("HOLD", "policy_silent")}
    speeds = [c.values[0] for c in ramp]
    assert speeds[0] == pytest.approx(0.3) and len(speeds) > 3
    assert all(later < earlier for earlier, later in itertools.pairwise(speeds) if earlier > 0)
    assert not any(s.latched for s in cell.statuses)


def test_a_log_that_nobody_reads_silences_nobody(cell, start_arbiter):
    process = start_arbiter(start_enabled=True)
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(10):  # twenty lines of more than 300 characters
        cell.until_state("POLICY", "policy_in_control")
        cell.policy_publishes = False
        cell.send_fault(cell.node.get_clock().now().nanoseconds, "dark" * 100)
        cell.until_state("HOLD", "policy_fault")
        cell.policy_publishes = True
    cell.until_state("POLICY", "policy_in_control")


def test_a_clock_that_jumps_holds(cell, start_arbiter):
    cell.make_clock()
    start_arbiter(use_sim_time=True, start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.simulated_ns -= 20 * 10**9
    cell.until_state("HOLD", "clock_jump")
    cell.until_state("POLICY", "policy_in_control")
    cell.clock_ahead_ns = 20 * 10**9
    cell.until_state("HOLD", "observation_stale")
    cell.simulated_ns, cell.clock_ahead_ns = cell.simulated_ns + cell.clock_ahead_ns, 0
    cell.until_state("POLICY", "policy_in_control")


def test_an_emergency_stop_outlives_a_new_configuration(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.call("estop")
    for number in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert cell.call("change_state", ChangeState.Request(transition=Transition(id=number))).success
    seen = len(cell.commands)
    cell.until_state("ESTOP", "estop")
    assert {c.reason for c in cell.commands[seen:]} == {"estop"}
    assert cell.call("clear").message == "cleared estop"
    cell.until_state("POLICY", "policy_in_control")


@pytest.mark.parametrize(
    ("kind", "topic", "qos"),
    [
        (ActionChunkMessage, "policy/chunk", COMMANDS),
        (OperatorCommand, "operator/command", COMMANDS),
        (AdapterStatus, "policy/adapter_status", LATCHED),
        (PoseStamped, "ee_pose", COMMANDS),
        (Image, "wrist/image_raw", COMMANDS),
        (ActionCommand, "command", COMMANDS),
    ],
)
def test_a_second_publisher_on_an_input_holds(cell, start_arbiter, kind, topic, qos):
    start_arbiter(start_enabled=True, publisher_check_s=0.05)
    cell.until_state("POLICY", "policy_in_control")
    intruders = [cell.node.create_publisher(kind, topic, qos) for _ in range(2)]
    cell.until_state("HOLD", "multiple_publishers")
    for intruder in intruders:
        cell.node.destroy_publisher(intruder)
    cell.until_state("POLICY", "policy_in_control")


def test_a_pose_that_never_arrives_is_diagnosed_with_its_topic(cell, start_arbiter):
    start_arbiter()

    def message() -> str:
        statuses = [status for array in cell.diagnostics for status in array.status if status.name == "arbiter"]
        return statuses[-1].message if statuses else ""

    cell.spin_until(lambda: "no message for" in message(), "the diagnosis of the silent topic")
    assert "topic ee_pose ('ee_pose'): no message for" in message()
    cell.spin_until(lambda: "no message for" not in message(), "the diagnosis of poses", flow=True)
