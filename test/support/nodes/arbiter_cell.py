"""A robot, a policy and an operator around the arbiter as a process; fixtures for tests over DDS."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.srv import ChangeState
from node_command import node_command
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool, Trigger

from apo_core.contract.contract import load_contract
from apo_core.ros.action_chunk import chunk_to_msg, fault_to_msg
from apo_core.ros.conversions import array_to_pose, to_floats, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import ActionChunk
from apo_interfaces.msg import ActionChunk as ActionChunkMessage
from apo_interfaces.msg import ActionCommand, AdapterStatus, ControlStatus, OperatorCommand

CONTRACT_FILE = Path(__file__).parents[3] / "config" / "contract.yaml"
CONTRACT = load_contract(CONTRACT_FILE)
WAIT_S = 30.0  # limit of a wait for something that will come
PERIOD_NS = CONTRACT.period_ns
POSE = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
RIGHT = np.array([0.0, -0.3, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)
TOKENS = np.arange(100, 128).reshape(4, 7)


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
        self.policy_publishes = True
        self.operator_publishes = True
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
        self.policy_publishes = False

    def make_clock(self) -> None:
        """Simulated time, one period further with every sending."""
        self._clock = self.node.create_publisher(Clock, "/clock", COMMANDS)

    def make_feedback(self) -> None:
        """A robot that reports that it stands still."""
        self._feedback = self.node.create_publisher(TwistStamped, "ee_twist", sensors("reliable"))

    def announce(self, version: int) -> None:
        """Announces that an adapter serves."""
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
        if self.policy_publishes:
            self.send_chunk(now)
        if self.operator_publishes:
            self.send_operator(now)

    def send_pose(self, stamp_ns: int) -> None:
        message = PoseStamped(pose=array_to_pose(POSE))
        message.header.stamp = to_stamp(stamp_ns)
        self._pose.publish(message)

    def send_chunk(self, stamp_ns: int) -> None:
        rows = np.tile(np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
        chunk = ActionChunk(stamp_ns, PERIOD_NS, rows, np.zeros(4, np.float32), self.adapter, TOKENS.reshape(-1))
        message = chunk_to_msg(chunk, stamp_ns, self.contract, 0.01)
        if self.period_s is not None:
            message.period_s = self.period_s
        self._chunk.publish(message)

    def send_fault(self, stamp_ns: int, fault: str = "the camera is dark") -> None:
        self._chunk.publish(fault_to_msg(fault, stamp_ns, CONTRACT, 6))

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
def start_arbiter(ros_domain, cell, meet):
    """(parameters) -> the arbiter as a process, connected to the cell."""
    processes = []

    def launch(remap="", **parameters):
        # on a slow machine inputs may pause; a test of their age gives its own
        arguments = {"contract_file": CONTRACT_FILE, "operator_stale_s": 10.0, "policy_silent_s": 10.0, **parameters}
        command = [*node_command("apo_teleop.arbiter_node", arguments), *(["-r", remap] if remap else [])]
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
