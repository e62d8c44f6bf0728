"""A robot, a policy and an operator in one process, beside the real arbiter node or a bare relay as another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from apo_core.ros.environment import transport_environment

# before rclpy is imported: away from whatever else runs on this machine, on the transport of the arbiter
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ.update(transport_environment(os.environ, has_images=False))

import numpy as np
import rclpy
import yaml
from geometry_msgs.msg import PoseStamped, TwistStamped

from apo_core.contract.contract import load_contract
from apo_core.ros.action_chunk import chunk_to_msg
from apo_core.ros.conversions import array_to_pose, to_floats, to_stamp
from apo_core.ros.node_runner import executor_for
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import ActionChunk as CoreChunk
from apo_interfaces.msg import ActionChunk, ActionCommand, AdapterStatus, OperatorCommand

ROOT = Path(__file__).resolve().parents[2]
ARM = "cartesian_command"
RELAY_IN, RELAY_OUT = "relay/in", "relay/out"
WAIT_S = 30.0
_LONGEST_WAIT_S = 0.1  # between looks at the processes under test
_POSE = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
_MOTION = np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32)
_HORIZON = 16


def contract_at(rate_hz: float, folder: Path, cameras: Mapping[str, tuple[int, int]] | None = None) -> Path:
    """The shipped contract at another rate, and with other cameras."""
    values = yaml.safe_load((ROOT / "config" / "contract.yaml").read_text())
    values["rate_hz"] = rate_hz
    if cameras is not None:
        values["images"] = {
            name: {"topic": f"{name}/image_raw", "height": height, "width": width, "encoding": "rgb8"}
            for name, (height, width) in cameras.items()
        }
    path = folder / "contract.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


class Harness:
    """Publishes the inputs of the arbiter and receives what it, or the relay, publishes.

    Args:
        rate_hz: of control ticks, poses and resting operator samples.
        chunk_hz: of the policy's chunks.
        with_operator: send samples of the operator; false: another node does.
        cameras: of the contract, {name: (height, width)}; None: those of the shipped one.
    """

    def __init__(
        self,
        rate_hz: float,
        chunk_hz: float,
        with_operator: bool = True,
        cameras: Mapping[str, tuple[int, int]] | None = None,
    ):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.contract_file = contract_at(rate_hz, self.folder, cameras)
        self.contract = load_contract(self.contract_file)
        self._periods = {"tick": 1 / rate_hz, "chunk": 1 / chunk_hz}
        self._due = dict.fromkeys(self._periods, 0.0)
        self._children: list[subprocess.Popen] = []
        rclpy.init()
        self.node = rclpy.create_node("bench")
        self.executor = executor_for(self.node, events=True)  # takes the least from who is measured
        self.executor.add_node(self.node)
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", sensors("reliable"))
        self._chunk = self.node.create_publisher(ActionChunk, "policy/chunk", COMMANDS)
        self._adapter = self.node.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
        self._operator = (
            self.node.create_publisher(OperatorCommand, "operator/command", COMMANDS) if with_operator else None
        )
        self._relay = self.node.create_publisher(OperatorCommand, RELAY_IN, COMMANDS)
        self.deflected = False  # what the flow's samples of the device report
        self.commands: list[tuple[int, ActionCommand]] = []  # (steady ns of arrival, message)
        self.arm: list[tuple[int, TwistStamped]] = []  # commands to the arm
        self.relayed: list[tuple[int, OperatorCommand]] = []
        self.node.create_subscription(ActionCommand, "command", self._collect(self.commands), COMMANDS)
        self.node.create_subscription(TwistStamped, ARM, self._collect(self.arm), COMMANDS)
        self.node.create_subscription(OperatorCommand, RELAY_OUT, self._collect(self.relayed), COMMANDS)
        self._adapter.publish(AdapterStatus(state="LOADED", version=0, requested_version=0))

    @staticmethod
    def _collect(into: list) -> Callable[[object], None]:
        return lambda message: into.append((time.monotonic_ns(), message))

    def start_arbiter(self, **parameters: object) -> subprocess.Popen:
        """The arbiter node as a process, enabled, in real time."""
        values = {"contract_file": self.contract_file, "start_enabled": True, **parameters}
        arguments = [
            part
            for name, value in values.items()
            for part in ("-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}")
        ]
        return self._start([sys.executable, "-m", "apo_teleop.arbiter_node", "--ros-args", *arguments])

    def start_node(self, module: str, **parameters: object) -> subprocess.Popen:
        """A node of another module as a process; values are YAML."""
        arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        return self._start([sys.executable, "-m", module, "--ros-args", *arguments])

    def start_relay(self) -> subprocess.Popen:
        """What rclpy costs at least: a node that publishes what it receives."""
        return self._start(
            [sys.executable, str(Path(__file__).parents[1] / "middleware" / "relay.py"), RELAY_IN, RELAY_OUT]
        )

    def _start(self, command: list[str]) -> subprocess.Popen:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._children.append(process)
        return process

    def until(self, condition: Callable[[], object], what: str, flow: bool = True) -> None:
        """Spins, with the flow of inputs going on, until the condition holds, which a message must bring about."""
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"waited {WAIT_S} s for {what}")
            self._spin(end, flow)

    def run_until(self, steady_ns: int) -> None:
        """Spins, with the flow of inputs going on, until the steady time `steady_ns`."""
        while time.monotonic_ns() < steady_ns:
            self._spin(steady_ns * 1e-9, flow=True)

    def _spin(self, end: float, flow: bool) -> None:
        """Handles what comes next. To wake up for nothing would take the processor from who is measured."""
        for child in self._children:
            if child.poll() is not None:
                raise RuntimeError(f"{child.args} ended with status {child.returncode}")
        if flow:
            self.flow()
            end = min(end, *self._due.values())
        self.executor.spin_once(timeout_sec=min(max(end - time.monotonic(), 0.0), _LONGEST_WAIT_S))

    def flow(self) -> None:
        """Publishes the inputs that are due."""
        now = time.monotonic()
        for name, period_s in self._periods.items():
            if now >= self._due[name]:
                # a period that was missed is not made up for
                self._due[name] = max(self._due[name] + period_s, now)
                getattr(self, f"_send_{name}")()

    def _now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def _send_tick(self) -> None:
        message = PoseStamped(pose=array_to_pose(_POSE))
        message.header.stamp = to_stamp(self._now_ns())
        self._pose.publish(message)
        if self._operator is not None:
            self._operator.publish(self.sample(self.deflected))

    def _send_chunk(self) -> None:
        now_ns = self._now_ns()
        rows = np.tile(_MOTION, (_HORIZON, 1))
        chunk = CoreChunk(now_ns, self.contract.period_ns, rows, np.zeros(_HORIZON, np.float32), 0)
        self._chunk.publish(chunk_to_msg(chunk, now_ns, self.contract, 0.01))

    def sample(self, active: bool) -> OperatorCommand:
        """What the operator's device reports now."""
        values = -_MOTION if active else np.zeros(7, np.float32)
        message = OperatorCommand(device="bench", connected=True, active=active, values=to_floats(values))
        message.header.stamp = to_stamp(self._now_ns())
        return message

    def edge(self, relay: bool) -> int:
        """Publishes a deflection to the arbiter, or to the relay; returns the steady time of it in ns."""
        message = self.sample(active=True)
        begin = time.monotonic_ns()
        publisher = self._relay if relay else self._operator
        assert publisher is not None
        publisher.publish(message)
        return begin

    def connected(self, relay: bool) -> bool:
        """Whether the process under test is there and has subscribed."""
        if relay:
            return bool(self._relay.get_subscription_count() and self.node.count_publishers(RELAY_OUT))
        return bool((self._operator is None or self._operator.get_subscription_count()) and self.commands)

    def stop(self, process: subprocess.Popen) -> None:
        """Ends a process that was started here."""
        self._children.remove(process)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()

    def close(self) -> None:
        """Ends the processes."""
        for child in list(self._children):
            self.stop(child)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()
        self._folder.cleanup()


def cpu_seconds(process: subprocess.Popen) -> float:
    """Processor time that a process has used, user and system."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
