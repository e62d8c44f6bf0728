"""The operator's node as a process over DDS: the scripted operator, a keyboard in a pseudo terminal, no device."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from apo_core.contract import load_contract
from apo_core.ros.conversions import array_to_pose, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import OperatorCommand, TaskStatus

CONTRACT_FILE = Path(__file__).parents[2] / "config" / "contract.yaml"
PERIOD_NS = load_contract(CONTRACT_FILE).period_ns
WAIT_S = 30.0  # limit of a wait for something that will come
HAND = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
CUBE = np.array([0.1, 0.05, 0.82, 0.0, 0.0, 0.0, 1.0])


class Cell:
    """A robot that does not move, and a listener."""

    def __init__(self):
        self.node = rclpy.create_node("cell")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        qos = sensors("reliable")
        self.pose = self.node.create_publisher(PoseStamped, "ee_pose", qos)
        self.gripper = self.node.create_publisher(JointState, "gripper/joint_states", qos)
        self.objects = self.node.create_publisher(PoseArray, "ground_truth/objects", qos)
        self.status = self.node.create_publisher(TaskStatus, "task/status", COMMANDS)
        self.samples: list[OperatorCommand] = []
        self.node.create_subscription(OperatorCommand, "operator/command", self.samples.append, COMMANDS)
        self._enable = self.node.create_client(SetBool, "teleop/enable")

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}; last: {self.samples[-1:]}"
            self._executor.spin_once(timeout_sec=0.01)

    def send_pose(self, tick: int) -> None:
        message = PoseStamped(pose=array_to_pose(HAND))
        message.header.stamp = to_stamp(tick * PERIOD_NS)
        self.pose.publish(message)

    def answer(self, tick: int, **status) -> OperatorCommand:
        """Sends a whole tick of the simulation; returns what the operator says to it."""
        seen = len(self.samples)
        self.send_pose(tick)
        gripper = JointState(name=["gripper_width"], position=[0.08])
        objects = PoseArray(poses=[array_to_pose(CUBE)])
        task = TaskStatus(trial=1, seed=3, step=tick, **{"running": True, **status})
        for message in (gripper, objects, task):
            message.header.stamp = to_stamp(tick * PERIOD_NS)
        self.gripper.publish(gripper)
        self.objects.publish(objects)
        self.status.publish(task)
        self.spin_until(lambda: len(self.samples) > seen, f"the operator's answer to tick {tick}")
        assert to_ns(self.samples[-1].header.stamp) == tick * PERIOD_NS
        return self.samples[-1]

    def enable(self, enabled: bool) -> None:
        self.spin_until(self._enable.service_is_ready, "service teleop/enable")
        future = self._enable.call_async(SetBool.Request(data=enabled))
        self.spin_until(future.done, "the answer of teleop/enable")
        assert future.result().success

    def until_sample(self, condition: Callable[[OperatorCommand], bool], what: str) -> OperatorCommand:
        """The first sample from now on that fulfils the condition."""
        seen = len(self.samples)
        self.spin_until(lambda: any(map(condition, self.samples[seen:])), what)
        return next(filter(condition, self.samples[seen:]))


@pytest.fixture
def cell(ros):
    made = Cell()
    yield made
    made.node.destroy_node()


@pytest.fixture
def start(cell):
    """(publishers to connect, parameters) -> the node as a process."""
    processes = []

    def launch(*publishers, **parameters):
        command = [sys.executable, "-m", "apo_teleop.teleop_node", "--ros-args"]
        for name, value in {"contract_file": CONTRACT_FILE, **parameters}.items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        processes.append(process)
        cell.spin_until(
            lambda: (
                all(publisher.get_subscription_count() for publisher in publishers)
                and cell.node.count_publishers("operator/command")
            ),
            "the teleop node",
        )
        return process

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("lockstep", [True, False])
def test_the_scripted_operator_answers_every_tick_and_takes_over(cell, start, lockstep):
    start(cell.pose, cell.gripper, cell.objects, cell.status, device="scripted", lockstep=lockstep)
    samples = [cell.answer(tick) for tick in range(20, 42)]
    assert [sample.active for sample in samples] == [False] * 20 + [True] * 2
    assert {sample.device for sample in samples} == {"scripted"} and all(sample.connected for sample in samples)
    assert samples[-1].values[0] > 0.1 and samples[-1].values[6] == -1.0
    cell.enable(False)
    assert not cell.answer(42).active
    cell.enable(True)
    assert not cell.answer(43).active
    assert cell.answer(44, running=False).events == []
    assert len(cell.samples) == 25


def test_auto_in_simulation_without_a_spacemouse_is_the_scripted_operator(cell, start):
    start(cell.pose, cell.gripper, cell.objects, cell.status, device="auto", use_sim_time=True)
    assert cell.answer(20).device == "scripted"


def test_no_device_in_lockstep_answers_every_tick(cell, start):
    start(cell.pose, device="none", lockstep=True)
    for tick in range(5, 10):
        cell.send_pose(tick)
        cell.spin_until(lambda tick=tick: len(cell.samples) == tick - 4, f"the answer to tick {tick}")
        sample = cell.samples[-1]
        assert to_ns(sample.header.stamp) == tick * PERIOD_NS
        assert (sample.device, sample.connected, sample.active) == ("none", False, False)


def test_a_missing_spacemouse_is_told_by_heartbeats(cell, start):
    start(device="spacemouse")
    cell.spin_until(lambda: len(cell.samples) >= 3, "heartbeats")
    assert not any(sample.connected or sample.active for sample in cell.samples)
    assert {sample.device for sample in cell.samples} == {"spacemouse"}


def test_a_keyboard_moves_presses_and_gives_the_terminal_back(cell, start):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    try:
        process = start(device="keyboard", keyboard_terminal=os.ttyname(slave))
        cell.until_sample(lambda sample: sample.connected and not sample.active, "a resting keyboard")
        os.write(master, b"a")
        moving = cell.until_sample(lambda sample: sample.active, "motion")
        assert moving.values[1] > 0.01 and not any(np.delete(moving.values, 1))
        cell.until_sample(lambda sample: not sample.active, "rest")
        os.write(master, b" ")
        cell.until_sample(lambda sample: list(sample.events) == ["gripper_toggle"], "the gripper key")
        cell.enable(False)
        seen = len(cell.samples)
        os.write(master, b"a0")
        cell.until_sample(lambda sample: list(sample.events) == ["estop"], "an emergency stop while disabled")
        assert not any(sample.active for sample in cell.samples[seen + 1 :])
        process.send_signal(signal.SIGINT)
        cell.spin_until(lambda: process.poll() is not None, "the end of the node")
        assert process.returncode == 0
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_a_keyboard_without_a_terminal_ends_with_the_parameter_to_change(ros_domain, tmp_path):
    command = [sys.executable, "-m", "apo_teleop.teleop_node", "--ros-args", "-p", f"contract_file:={CONTRACT_FILE}"]
    command += ["-p", "device:=keyboard", "-p", f"keyboard_terminal:={tmp_path / 'none'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "device = keyboard needs a terminal" in done.stderr
