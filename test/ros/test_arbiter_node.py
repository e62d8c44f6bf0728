"""The arbiter as a process over DDS: takeover, hand-back, watchdogs, emergency stop, lockstep, a safe end."""

import itertools
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from apo_core.contract import load_contract
from apo_core.ros.chunk_message import chunk_to_msg, fault_to_msg
from apo_core.ros.conversions import array_to_pose, to_floats, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import ActionChunk
from apo_interfaces.msg import ActionChunk as ActionChunkMessage
from apo_interfaces.msg import ActionCommand, AdapterStatus, ControlStatus, OperatorCommand

CONTRACT_FILE = Path(__file__).parents[2] / "config" / "contract.yaml"
CONTRACT = load_contract(CONTRACT_FILE)
WAIT_S = 30.0  # limit of a wait for something that will come
PERIOD_NS = CONTRACT.period_ns
POSE = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
RIGHT = np.array([0.0, -0.3, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)


class Cell:
    """Robot, policy and operator in one; in real time it sends all three at the contract's rate."""

    def __init__(self):
        self.node = rclpy.create_node("cell")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", sensors("reliable"))
        self._chunk = self.node.create_publisher(ActionChunkMessage, "policy/chunk", COMMANDS)
        self._operator = self.node.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self._adapter = self.node.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
        self.announce(6)
        self.commands: list[ActionCommand] = []
        self.statuses: list[ControlStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        for kind, topic, into in (
            (ActionCommand, "command", self.commands),
            (ControlStatus, "control/status", self.statuses),
            (DiagnosticArray, "/diagnostics", self.diagnostics),
        ):
            self.node.create_subscription(kind, topic, into.append, COMMANDS)
        self._clients = {
            name: self.node.create_client(kind, f"arbiter/{name}")
            for name, kind in (
                ("enable", SetBool),
                ("clear", Trigger),
                ("estop", Trigger),
                ("hand_back", Trigger),
                ("change_state", ChangeState),
            )
        }
        self.shadow: list[ActionCommand] = []
        self.node.create_subscription(ActionCommand, "shadow_action", self.shadow.append, COMMANDS)
        self._feedback: Publisher | None = None
        self._clock: Publisher | None = None
        self.simulated_ns = 100 * 10**9  # with a clock of its own: time of the messages,
        self.clock_ahead_ns = 0  # and how far /clock is ahead of them
        self.contract = CONTRACT
        self.adapter = 6
        self.active = False
        self.connected = True
        self.policy_speaks = True
        self.period_s: float | None = None  # instead of the contract's

    def spin_until(self, condition: Callable[[], bool], what: str, flow: bool = False) -> None:
        """Spins until the condition holds; with `flow`, sends the inputs of real time meanwhile."""
        end, due = time.monotonic() + WAIT_S, 0.0
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}; last: {self.commands[-1:]}"
            if flow and time.monotonic() >= due:
                due = time.monotonic() + PERIOD_NS * 1e-9
                self.send_all()
            self._executor.spin_once(timeout_sec=0.01)

    @property
    def publishers(self) -> list[Publisher]:
        """Of the arbiter's inputs."""
        mine = (self._pose, self._chunk, self._operator, self._adapter, self._feedback, self._clock)
        return [publisher for publisher in mine if publisher is not None]

    def be_without_policy(self) -> None:
        """Leaves the policy's topics to another process."""
        for publisher in (self._chunk, self._adapter):
            self.node.destroy_publisher(publisher)
        self._chunk = self._adapter = None
        self.policy_speaks = False

    def make_clock(self) -> None:
        """Simulated time, one period further with every sending."""
        self._clock = self.node.create_publisher(Clock, "/clock", COMMANDS)

    def make_feedback(self) -> None:
        """A robot that says it stands still."""
        self._feedback = self.node.create_publisher(TwistStamped, "ee_twist", sensors("reliable"))

    def announce(self, version: int) -> None:
        """Says that an adapter serves."""
        self._adapter.publish(AdapterStatus(state="LOADED", version=version, requested_version=version))

    def now_ns(self) -> int:
        """Time of the messages to send now; moves simulated time on."""
        if self._clock is None:
            return self.node.get_clock().now().nanoseconds
        self.simulated_ns += PERIOD_NS
        self._clock.publish(Clock(clock=to_stamp(self.simulated_ns + self.clock_ahead_ns)))
        return self.simulated_ns

    def send_all(self) -> None:
        now = self.now_ns()
        if self._feedback is not None:
            message = TwistStamped()
            message.header.stamp = to_stamp(now)
            self._feedback.publish(message)
        self.send_pose(now)
        if self.policy_speaks:
            self.send_chunk(now)
        self.send_operator(now)

    def send_pose(self, stamp_ns: int) -> None:
        message = PoseStamped(pose=array_to_pose(POSE))
        message.header.stamp = to_stamp(stamp_ns)
        self._pose.publish(message)

    def send_chunk(self, stamp_ns: int) -> None:
        rows = np.tile(np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
        chunk = ActionChunk(stamp_ns, PERIOD_NS, rows, np.zeros(4, np.float32), self.adapter)
        message = chunk_to_msg(chunk, stamp_ns, self.contract, 0.01)
        if self.period_s is not None:
            message.period_s = self.period_s
        self._chunk.publish(message)

    def send_fault(self, stamp_ns: int) -> None:
        self._chunk.publish(fault_to_msg("the camera is dark", stamp_ns, CONTRACT, 6))

    def send_operator(self, stamp_ns: int, events: tuple[str, ...] = ()) -> None:
        message = OperatorCommand(
            device="test",
            connected=self.connected,
            active=self.active,
            values=to_floats(RIGHT if self.active else np.zeros(7)),
            events=list(events),
        )
        message.header.stamp = to_stamp(stamp_ns)
        self._operator.publish(message)

    def call(self, name: str, request=None, flood: int = 0):
        """The answer of one of the arbiter's services; so many operator samples at a time go out meanwhile."""
        client = self._clients[name]
        self.spin_until(client.service_is_ready, f"service {name}")
        future = client.call_async(request or Trigger.Request())

        def done() -> bool:
            for _ in range(flood):
                self.send_operator(self.node.get_clock().now().nanoseconds)
            return future.done()

        self.spin_until(done, f"the answer of {name}")
        return future.result()

    def until_state(self, state: str, reason: str) -> ActionCommand:
        """Real time: the first command of that state and reason from now on."""
        seen = len(self.statuses)
        self.spin_until(
            lambda: any((s.state, s.reason) == (state, reason) for s in self.statuses[seen:]),
            f"{state} {reason}",
            flow=True,
        )
        tick = next(s.tick for s in self.statuses[seen:] if (s.state, s.reason) == (state, reason))
        self.spin_until(lambda: any(c.tick == tick for c in self.commands), f"command {tick}")
        return next(c for c in self.commands if c.tick == tick)


@pytest.fixture
def cell(ros):
    made = Cell()
    yield made
    made.node.destroy_node()


@pytest.fixture
def write_contract(tmp_path):
    """(change) -> file of the shipped contract, changed."""

    def write(change):
        data = yaml.safe_load(CONTRACT_FILE.read_text())
        change(data)
        file = tmp_path / "contract.yaml"
        file.write_text(yaml.safe_dump(data))
        return file

    return write


@pytest.fixture
def start(ros_domain, cell, tmp_path, meet):
    """(parameters) -> the arbiter as a process, connected to the cell."""
    processes = []

    def launch(remap="", **parameters):
        # on a slow machine inputs may pause; a test of their age gives its own
        arguments = {"contract_file": CONTRACT_FILE, "operator_stale_s": 10.0, "policy_silent_s": 10.0, **parameters}
        command = [sys.executable, "-m", "apo_teleop.arbiter_node", "--ros-args"]
        for name, value in arguments.items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        command += ["-r", remap] if remap else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        processes.append(process)
        cell.spin_until(
            lambda: (
                all(publisher.get_subscription_count() for publisher in cell.publishers)
                and cell.node.count_publishers("command")
                and cell.node.count_publishers("control/status")
            ),
            "the arbiter",
        )
        meet(cell.node, "arbiter", cell.spin_until)
        return process

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


def test_it_holds_until_enabled_then_the_policy_drives(cell, start):
    start()
    held = cell.until_state("IDLE", "disabled")
    assert held.source == "HOLD" and list(held.values) == [0, 0, 0, 0, 0, 0, -1]
    assert cell.call("enable", SetBool.Request(data=True)).success
    command = cell.until_state("POLICY", "policy_in_control")
    assert command.source == "POLICY" and command.adapter_version == 6
    assert command.header.frame_id == "base"
    assert list(command.values) == list(command.policy_values)
    assert to_ns(command.chunk_stamp) > 0 and not command.human_values
    ticks = [c.tick for c in cell.commands]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


def test_takeover_and_hand_back(cell, start):
    start(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    command = cell.until_state("HUMAN", "operator_motion")
    np.testing.assert_allclose(command.values, [0, -0.3, 0, 0, 0, 0, -1], atol=1e-6)
    assert command.source == "HUMAN" and list(command.human_values) == list(command.values)
    assert command.policy_values
    cell.active = False
    rest = cell.until_state("HUMAN", "operator_rest")
    assert rest.source == "HUMAN" and not any(rest.values[:6])
    back = cell.until_state("POLICY", "policy_in_control")
    assert to_ns(back.chunk_stamp) > to_ns(rest.header.stamp)
    status = cell.statuses[-1]
    assert status.takeovers == 1
    assert 0 <= status.takeover_latency_p50_ms < 1e3 * WAIT_S
    cell.spin_until(lambda: len(cell.diagnostics) >= 1, "diagnostics", flow=True)
    told = {pair.key: pair.value for pair in cell.diagnostics[-1].status[0].values}
    assert told["operator_connected"] == "True" and not math.isnan(float(told["observation_age_s"]))


def test_a_takeover_does_not_wait_for_the_next_tick(cell, start, tmp_path):
    slow = yaml.safe_load(CONTRACT_FILE.read_text())
    slow["rate_hz"], slow["max_age_s"] = 0.5 / WAIT_S, 2 * WAIT_S  # no wait of this test lasts until a timer tick
    file = tmp_path / "slow.yaml"
    file.write_text(yaml.safe_dump(slow))
    cell.contract = load_contract(file)
    start(contract_file=file, start_enabled=True)
    cell.send_all()
    # topics have no order among them: the commands of stops tell when the pose has arrived
    stops = 0
    while not (cell.commands and cell.commands[-1].observation_stamp.sec):
        cell.call("estop")
        stops += 1
        cell.spin_until(lambda stops=stops: len(cell.commands) == stops, "the stop")
    cell.call("clear")
    cell.send_operator(cell.node.get_clock().now().nanoseconds)
    cell.active = True
    # a second sample of the same motion waits for the timer again
    for _ in range(2):
        cell.send_operator(cell.node.get_clock().now().nanoseconds)
    cell.spin_until(lambda: len(cell.commands) > stops, "the takeover")
    cell.call("clear")
    assert [c.source for c in cell.commands[stops:]] == ["HUMAN"]


@pytest.mark.parametrize("period_s", [math.nan, math.inf])
def test_a_chunk_whose_period_is_not_finite_holds(cell, start, period_s):
    start(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.period_s = period_s
    cell.until_state("HOLD", "chunk_malformed")
    cell.period_s = None
    cell.until_state("POLICY", "policy_in_control")


def test_a_silent_policy_holds_and_comes_back(cell, start):
    start(start_enabled=True, policy_silent_s=0.15)
    cell.until_state("POLICY", "policy_in_control")
    cell.policy_speaks = False
    cell.until_state("HOLD", "policy_silent")
    cell.policy_speaks = True
    cell.until_state("POLICY", "policy_in_control")
    assert not any(s.latched for s in cell.statuses)


def test_a_device_lost_while_driving_latches_until_cleared(cell, start):
    start(start_enabled=True)
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


def test_an_emergency_stop_latches_until_cleared(cell, start):
    start(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    assert cell.call("estop").success
    cell.active = True
    command = cell.until_state("ESTOP", "estop")
    assert command.source == "HOLD"
    assert not any(cell.until_state("ESTOP", "estop").values[:6])
    cell.active = False
    cell.call("clear")
    cell.until_state("POLICY", "policy_in_control")


def test_an_emergency_stop_by_topic_cannot_be_cleared_while_it_lasts(cell, start):
    start(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    button = cell.node.create_publisher(Bool, "estop", COMMANDS)
    cell.spin_until(button.get_subscription_count, "the arbiter's ear for the stop", flow=True)
    button.publish(Bool(data=True))
    assert cell.until_state("ESTOP", "estop").source == "HOLD"
    refused = cell.call("clear")
    assert (refused.success, refused.message) == (False, "a publisher of the topic estop says stop")
    assert cell.until_state("ESTOP", "estop").source == "HOLD"
    button.publish(Bool(data=False))
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)
    cell.until_state("POLICY", "policy_in_control")


def test_a_stop_by_a_best_effort_publisher_under_another_name_holds_while_it_lasts(cell, start):
    start(start_enabled=True, remap="estop:=cell/stop")
    cell.until_state("POLICY", "policy_in_control")
    button = cell.node.create_publisher(Bool, "cell/stop", sensors("best_effort"))
    cell.spin_until(button.get_subscription_count, "the arbiter's ear for the stop", flow=True)
    button.publish(Bool(data=True))
    cell.until_state("ESTOP", "estop")
    # longer than a stop counts without its publisher
    seen = len(cell.commands)
    cell.spin_until(lambda: len(cell.commands) > seen + 60, "three seconds of ticks", flow=True)
    assert not cell.call("clear").success
    button.publish(Bool(data=False))
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)


def test_a_flood_of_motion_comes_to_nothing_after_the_last_command(cell, start):
    process = start(start_enabled=True)
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    deactivate = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert cell.call("change_state", deactivate, flood=50).success
    assert cell.call("estop").success  # it still answers
    assert process.poll() is None
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")


def test_shutdown_of_the_lifecycle_ends_the_motion(cell, start):
    start(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    shutdown = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN))
    assert cell.call("change_state", shutdown).success
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")
    ended = len(cell.commands)
    for _ in range(5):
        cell.send_all()
        cell.call("estop")
    assert len(cell.commands) == ended


def test_no_gripper_moves_before_somebody_drives(cell, start):
    gripper: list[JointTrajectory] = []
    cell.node.create_subscription(JointTrajectory, "gripper_command", gripper.append, COMMANDS)
    start()
    held = cell.until_state("IDLE", "disabled")
    cell.spin_until(lambda: cell.commands[-1].tick > held.tick + 5, "ticks", flow=True)
    assert gripper == []
    cell.call("enable", SetBool.Request(data=True))
    cell.spin_until(lambda: gripper, "the gripper's command", flow=True)


def test_an_emergency_stop_pressed_before_the_start_holds(cell, start):
    button = cell.node.create_publisher(Bool, "estop", LATCHED)
    button.publish(Bool(data=True))
    start(start_enabled=True)
    cell.until_state("ESTOP", "estop")
    # whoever said so is gone: a person may clear it
    cell.node.destroy_publisher(button)
    cell.spin_until(lambda: cell.call("clear").message == "cleared estop", "the clearing", flow=True)
    cell.until_state("POLICY", "policy_in_control")


def test_the_policys_action_goes_out_in_the_shadow_of_the_operator(cell, start):
    start(start_enabled=True)
    cell.spin_until(lambda: cell.node.count_publishers("shadow_action"), "the shadow topic")
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    command = cell.until_state("HUMAN", "operator_motion")
    cell.spin_until(lambda: any(c.tick == command.tick for c in cell.shadow), "the shadow action", flow=True)
    shadow = next(c for c in cell.shadow if c.tick == command.tick)
    assert (shadow.source, shadow.adapter_version) == ("POLICY", command.adapter_version)
    assert (shadow.header, shadow.observation_stamp, shadow.chunk_stamp) == (
        command.header,
        command.observation_stamp,
        command.chunk_stamp,
    )
    np.testing.assert_allclose(shadow.values, [0.1, 0, 0, 0, 0, 0, -1], atol=1e-6)
    executed = {c.tick for c in cell.commands if c.source == "POLICY"}
    assert not executed & {c.tick for c in cell.shadow}


def test_control_goes_back_by_service_alone_when_so_configured(cell, start):
    start(start_enabled=True, hand_back="button", hand_back_s=0.0)
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    cell.active = False
    cell.until_state("HUMAN", "operator_rest")
    assert cell.until_state("HUMAN", "operator_rest").source == "HUMAN"
    assert cell.call("hand_back").success
    cell.until_state("POLICY", "policy_in_control")
    assert cell.call("hand_back").message == "no operator is in control"


def test_a_takeover_blends_from_one_motion_to_the_other(cell, start, write_contract):
    file = write_contract(lambda data: data["limits"].update(linear_acceleration=1.0, linear_jerk=20.0))
    start(contract_file=file, start_enabled=True, linear_deceleration=1.0)
    cell.spin_until(lambda: any(c.values[0] > 0.0999 for c in cell.commands), "the policy at speed", flow=True)
    cell.active = True
    first = cell.until_state("HUMAN", "operator_motion")
    cell.spin_until(lambda: cell.commands[-1].values[1] < -0.2999, "the operator at speed", flow=True)
    assert first.clipped == "limits.linear_acceleration" and 0 > first.values[1] > -0.1
    np.testing.assert_allclose(first.human_values, [0, -0.3, 0, 0, 0, 0, -1], atol=1e-6)
    taken = np.array([c.values[:3] for c in cell.commands if c.tick >= first.tick - 1], np.float64)
    # 1 m/s^2 at 20 Hz
    assert np.linalg.norm(np.diff(taken, axis=0), axis=1).max() <= 0.05 + 1e-6
    assert len(taken) > 7 and np.all(np.diff(taken[:, 1]) <= 1e-6) and np.all(np.diff(taken[:, 0]) <= 1e-6)


def test_an_adapter_nobody_announced_does_not_drive(cell, start):
    start(start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.adapter = 7
    held = cell.until_state("HOLD", "adapter_unknown")
    assert not held.policy_values
    cell.announce(7)
    assert cell.until_state("POLICY", "policy_in_control").adapter_version == 7
    cell.adapter = 6
    cell.until_state("POLICY", "policy_in_control")
    assert cell.statuses[-1].reason == "policy_in_control"


def test_lockstep_loses_no_tick_when_the_announcement_comes_after_the_chunk(cell, start):
    start(lockstep=True, start_enabled=True)
    cell.adapter = 9
    cell.send_pose(100 * PERIOD_NS)
    cell.send_operator(100 * PERIOD_NS)
    cell.send_chunk(100 * PERIOD_NS)
    cell.call("clear")
    assert not cell.commands
    cell.announce(9)
    cell.spin_until(lambda: cell.commands, "the answer")
    assert [(c.source, c.adapter_version) for c in cell.commands] == [("POLICY", 9)]


def test_measured_motion_is_watched(cell, start, write_contract):
    feedback = {"topic": "ee_twist", "type": "geometry_msgs/msg/TwistStamped"}
    start(contract_file=write_contract(lambda data: data.update(feedback=feedback)), start_enabled=True)
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
from apo_core.contract import load_contract
from apo_core.ros.chunk_message import chunk_to_msg
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


def test_a_policy_that_is_killed_while_it_drives_ends_in_a_ramp(cell, start):
    cell.be_without_policy()
    policy = subprocess.Popen([sys.executable, "-c", POLICY_PROGRAM, str(CONTRACT_FILE)])
    try:
        start(start_enabled=True, policy_silent_s=0.25, linear_deceleration=0.2)
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


def test_a_clock_that_jumps_holds(cell, start):
    cell.make_clock()
    start(use_sim_time=True, start_enabled=True)
    cell.until_state("POLICY", "policy_in_control")
    cell.simulated_ns -= 20 * 10**9
    cell.until_state("HOLD", "clock_jump")
    cell.until_state("POLICY", "policy_in_control")
    cell.clock_ahead_ns = 20 * 10**9
    cell.until_state("HOLD", "observation_stale")
    cell.simulated_ns, cell.clock_ahead_ns = cell.simulated_ns + cell.clock_ahead_ns, 0
    cell.until_state("POLICY", "policy_in_control")


def test_it_can_be_deactivated_and_activated_again(cell, start):
    start(start_enabled=True)
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


def test_an_emergency_stop_outlives_a_new_configuration(cell, start):
    start(start_enabled=True)
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


def test_limits_that_are_not_set_are_told_at_the_start(cell, start, write_contract):
    file = write_contract(lambda data: data["limits"].pop("linear_jerk"))
    process = start(contract_file=file)
    process.send_signal(signal.SIGINT)
    told = process.stdout.read()
    assert told.count(f"limits.linear_jerk is not set in {file}: no such limit applies") == 1
    assert "is not set" not in told.replace("limits.linear_jerk is not set", "")


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
def test_a_second_publisher_on_an_input_holds(cell, start, kind, topic, qos):
    start(start_enabled=True, publisher_check_s=0.05)
    cell.until_state("POLICY", "policy_in_control")
    intruders = [cell.node.create_publisher(kind, topic, qos) for _ in range(2)]
    cell.until_state("HOLD", "multiple_publishers")
    for intruder in intruders:
        cell.node.destroy_publisher(intruder)
    cell.until_state("POLICY", "policy_in_control")


def test_the_last_command_is_safe(cell, start):
    process = start(start_enabled=True)
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    process.send_signal(signal.SIGINT)
    cell.spin_until(lambda: process.poll() is not None, "the end of the arbiter", flow=True)
    assert process.returncode == 0
    cell.spin_until(lambda: cell.commands[-1].reason == "deactivated", "the last command")
    last = cell.commands[-1]
    assert last.source == "HOLD" and not any(last.values[:6])


def test_lockstep_answers_each_observation_once_and_only_after_both(cell, start):
    start(lockstep=True, start_enabled=True)
    for tick in range(100, 120):
        stamp = tick * PERIOD_NS
        sends = [cell.send_pose, cell.send_chunk, cell.send_operator]
        for send in sends[tick % 3 :] + sends[: tick % 3]:
            # calls of a service give the arbiter time to answer too early
            if tick < 103:
                cell.call("clear")
                cell.call("clear")
            assert len(cell.commands) == tick - 100
            send(stamp)
        cell.spin_until(lambda tick=tick: len(cell.commands) > tick - 100, f"the answer to tick {tick}")
    assert [to_ns(c.observation_stamp) for c in cell.commands] == [t * PERIOD_NS for t in range(100, 120)]
    assert {c.source for c in cell.commands} == {"POLICY"}
    cell.spin_until(lambda: len(cell.statuses) == 20, "every status")
    assert cell.statuses[-1].ticks_missed == 0


def test_lockstep_takes_over_and_hands_back_in_simulated_time(cell, start):
    start(lockstep=True, start_enabled=True)
    sources = []
    for tick in range(200, 220):
        cell.active = tick < 203
        for send in (cell.send_pose, cell.send_chunk, cell.send_operator):
            send(tick * PERIOD_NS)
        cell.spin_until(lambda: len(cell.commands) > len(sources), f"the answer to tick {tick}")
        sources.append(cell.commands[-1].source)
    # half a second of rest is ten ticks after the last motion
    assert sources == ["HUMAN"] * 12 + ["POLICY"] * 8


def test_lockstep_deadline_holds_and_counts(cell, start):
    start(lockstep=True, start_enabled=True, lockstep_deadline_s=2.0)
    cell.send_pose(100 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 1, "the answer without any input")
    assert (cell.commands[0].source, cell.commands[0].reason) == ("HOLD", "operator_late")
    cell.send_pose(101 * PERIOD_NS)
    cell.send_operator(101 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 2, "the answer without a policy")
    assert cell.commands[1].reason == "policy_late"
    cell.send_pose(102 * PERIOD_NS)
    cell.send_operator(102 * PERIOD_NS)
    cell.send_fault(102 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 3, "the answer with a fault")
    assert cell.commands[2].reason == "policy_fault"
    cell.spin_until(lambda: len(cell.statuses) == 3, "the last status")
    assert cell.statuses[-1].ticks_missed == 2
    cell.send_pose(102 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 4, "the answer to a repeated observation")
    assert cell.commands[3].tick == cell.commands[2].tick
