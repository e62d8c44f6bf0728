"""The operator's node as a process over DDS: each device, as close to the real one as there is no hardware."""

import os
import pty
import shutil
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
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import SetBool, Trigger

from apo_core.contract import load_contract
from apo_core.ros.conversions import array_to_pose, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import ControlStatus, OperatorCommand, TaskStatus

FAKE_HIDAPI = Path(__file__).parent / "fake_hidapi.c"
CONTRACT_FILE = Path(__file__).parents[2] / "config" / "contract.yaml"
PERIOD_NS = load_contract(CONTRACT_FILE).period_ns
WAIT_S = 30.0  # limit of a wait for something that will come
HAND = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
CUBE = np.array([0.1, 0.05, 0.82, 0.0, 0.0, 0.0, 1.0])


FORWARD = [0, 1, 0, 0, 0, 0]  # of preset gamepad: left stick up
REST = [0] * 6


def moves(sample: OperatorCommand) -> bool:
    return sample.active and sample.values[0] > 0.3


def rests(sample: OperatorCommand) -> bool:
    return sample.connected and not sample.active


def is_lost(sample: OperatorCommand) -> bool:
    return not sample.connected and not sample.active and not any(sample.values)


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
        self.joy = None
        self.diagnostics: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, COMMANDS)
        self.statuses: list[ControlStatus] = []
        self.node.create_subscription(ControlStatus, "control/status", self.statuses.append, COMMANDS)
        self.clear = self.node.create_client(Trigger, "arbiter/clear")
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

    def send_pose_now(self) -> None:
        message = PoseStamped(pose=array_to_pose(HAND))
        message.header.stamp = self.node.get_clock().now().to_msg()
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

    def publish_joy(self, axes, buttons=(), ahead_s: float = 0.0) -> None:
        message = Joy(axes=list(map(float, axes)), buttons=list(buttons))
        message.header.stamp = to_stamp(self.node.get_clock().now().nanoseconds + round(ahead_s * 1e9))
        self.joy.publish(message)

    def until_joy(self, axes, condition: Callable[[OperatorCommand], bool], what: str, **other) -> OperatorCommand:
        """Publishes as joy_node repeats itself, until there is a sample that fulfils the condition."""
        seen = len(self.samples)
        self.repeat_until(
            lambda: self.publish_joy(axes, **other), lambda: any(map(condition, self.samples[seen:])), what
        )
        return next(filter(condition, self.samples[seen:]))

    def repeat_until(
        self, send: Callable[[], None], condition: Callable[[], bool], what: str, period_s: float = 0.016
    ) -> None:
        """Sends again and again, as a device does, until the condition holds."""
        due = 0.0

        def holds() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                send()
                due = time.monotonic() + period_s
            return condition()

        self.spin_until(holds, what)

    def rest_joy(self, seconds: float = 0.5) -> None:
        """Publishes a joystick at rest until the node has said for so long that it is; then it may move."""
        self.until_ready_to_move(lambda: self.publish_joy([0] * 6), seconds)

    def until_ready_to_move(self, send_rest: Callable[[], None], seconds: float = 0.5) -> None:
        """Sends that the device rests until the node has said so for this long."""
        rest_ns: list[int] = []
        seen = len(self.samples)

        def has_rested() -> bool:
            nonlocal seen, rest_ns
            for sample in self.samples[seen:]:
                rest_ns = [*rest_ns, to_ns(sample.header.stamp)] if rests(sample) else []
            seen = len(self.samples)
            return bool(rest_ns) and rest_ns[-1] - rest_ns[0] > seconds * 1e9

        self.repeat_until(send_rest, has_rested, "a resting device")

    def until_diagnosed(self, send: Callable[[], None], level: bytes, message: str) -> dict[str, str]:
        """Key and value of the first diagnosis from now on with this level and a message that has these words."""
        seen = len(self.diagnostics)

        def found() -> list[DiagnosticArray]:
            return [d for d in self.diagnostics[seen:] if d.status[0].level == level and message in d.status[0].message]

        self.repeat_until(send, lambda: bool(found()), f"the diagnosis {message}")
        assert found()[0].status[0].name == "teleop"
        return {pair.key: pair.value for pair in found()[0].status[0].values}

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
def joy_cell(cell):
    """A cell that publishes what a joystick says."""
    cell.joy = cell.node.create_publisher(Joy, "joy", 10)
    return cell


@pytest.fixture
def processes():
    """Processes that end with the test."""
    made: list[subprocess.Popen] = []
    yield made
    for process in made:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def start(cell, processes, meet):
    """(publishers it must hear, parameters) -> the node as a process, connected both ways."""

    def launch(*publishers, **parameters):
        # on a slow machine messages may pause; a test of their age gives its own
        arguments = {"contract_file": CONTRACT_FILE, "joy_stale_s": 5.0, "spacemouse_stale_s": 5.0, **parameters}
        command = [sys.executable, "-m", "apo_teleop.teleop_node", "--ros-args"]
        for name, value in arguments.items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        processes.append(process)
        cell.spin_until(lambda: all(p.get_subscription_count() for p in publishers), "the node's subscriptions")
        meet(cell.node, "teleop", cell.spin_until)
        return process

    return launch


@pytest.mark.parametrize("lockstep", [True, False])
def test_the_scripted_operator_answers_every_tick_and_takes_over(cell, start, lockstep):
    start(cell.pose, cell.gripper, cell.objects, cell.status, device="scripted", lockstep=lockstep)
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
    told = cell.until_diagnosed(lambda: None, DiagnosticStatus.WARN, "libhidapi")
    assert (told["device"], told["connected"]) == ("SpaceMouse", "false")
    assert not any(sample.connected or sample.active for sample in cell.samples)
    assert {sample.device for sample in cell.samples} == {"spacemouse"}


def is_estop(sample: OperatorCommand) -> bool:
    return list(sample.events) == ["estop"]


class Usb:
    """A USB port for a libhidapi made of files (fake_hidapi.c)."""

    def __init__(self, directory: Path):
        self._plugged, self._reports = directory / "plugged", directory / "reports"
        self._reports.touch()

    def plug(self, vendor: int, product: int) -> None:
        whole = self._plugged.with_suffix(".new")
        whole.write_text(f"{vendor:x} {product:x}")
        whole.rename(self._plugged)

    def unplug(self) -> None:
        self._plugged.unlink()

    def report(self, *data: int) -> None:
        with self._reports.open("ab", buffering=0) as file:
            file.write(bytes([len(data), *data]).ljust(16, b"\0"))


@pytest.fixture
def usb(tmp_path, monkeypatch) -> Usb:
    """The node's driver finds this port's library in place of the system's."""
    pytest.importorskip("pyspacemouse")
    compiler = shutil.which("gcc") or pytest.skip("no gcc to build the library with")
    library = tmp_path / "libhidapi-hidraw.so.0"
    build = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, FAKE_HIDAPI]
    subprocess.run(build, check=True)
    (tmp_path / "libhidapi-hidraw.so").symlink_to(library)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}")
    monkeypatch.setenv("FAKE_HID", str(tmp_path))
    return Usb(tmp_path)


FORWARD_LITTLE_ENDIAN = (0xA2, 0xFE)  # -350: y of a SpaceMouse points towards the person


@pytest.mark.parametrize(
    ("ids", "pushed", "released"),
    [
        ((0x046D, 0xC626), (1, 0, 0, *FORWARD_LITTLE_ENDIAN, 0, 0), (1, 0, 0, 0, 0, 0, 0)),
        ((0x256F, 0xC62E), (1, 0, 0, *FORWARD_LITTLE_ENDIAN, *[0] * 8), (1, *[0] * 12)),
    ],
    ids=["SpaceNavigator", "SpaceMouseWireless"],
)
def test_a_spacemouse_drives_is_pulled_out_and_must_be_cleared_and_rest(
    cell, start, processes, usb, meet, ids, pushed, released
):
    """The whole driver from HID reports to the arbiter's state."""
    arbiter = [sys.executable, "-m", "apo_teleop.arbiter_node", "--ros-args", "-p", f"contract_file:={CONTRACT_FILE}"]
    arbiter += ["-p", "start_enabled:=true", "-p", "operator_stale_s:=10.0"]
    processes.append(subprocess.Popen(arbiter))
    usb.plug(*ids)
    start(device="spacemouse", reconnect_s=0.05)
    meet(cell.node, "arbiter", cell.spin_until)

    def send(*report: int) -> None:
        usb.report(*report)
        cell.send_pose_now()

    def until_state(report: tuple[int, ...], state: str, reason: str) -> None:
        seen = len(cell.statuses)
        cell.repeat_until(
            lambda: send(*report),
            lambda: any((s.state, s.reason) == (state, reason) for s in cell.statuses[seen:]),
            f"{state} {reason}",
        )

    until_state(released, "HOLD", "no_chunk")
    cell.until_ready_to_move(lambda: send(*released))
    until_state(pushed, "HUMAN", "operator_motion")
    assert cell.samples[-1].values[0] == pytest.approx(0.4)
    usb.unplug()
    until_state(pushed, "HOLD", "device_lost")
    assert cell.statuses[-1].latched
    usb.plug(*ids)
    back = len(cell.samples)
    cell.repeat_until(
        lambda: send(*pushed), lambda: any(sample.connected for sample in cell.samples[back:]), "the return"
    )
    assert cell.statuses[-1].latched
    cleared = cell.clear.call_async(Trigger.Request())
    cell.repeat_until(lambda: send(*pushed), cleared.done, "the answer of arbiter/clear")
    seen, until_ns = len(cell.statuses), cell.node.get_clock().now().nanoseconds + 500_000_000
    cell.repeat_until(
        lambda: send(*pushed), lambda: to_ns(cell.statuses[-1].header.stamp) > until_ns, "ticks of the arbiter"
    )
    assert {status.state for status in cell.statuses[seen:]} == {"HOLD"}
    assert not any(sample.active for sample in cell.samples[back:])
    cell.until_ready_to_move(lambda: send(*released))
    until_state(pushed, "HUMAN", "operator_motion")


def test_a_joystick_drives_with_the_stamps_of_its_messages(joy_cell, start):
    start(device="joy")
    joy_cell.rest_joy()
    before = joy_cell.node.get_clock().now().nanoseconds
    moving = joy_cell.until_joy(FORWARD, moves, "motion")
    assert moving.device == "joy"
    np.testing.assert_allclose(moving.values, [0.4, 0, 0, 0, 0, 0, 0], rtol=1e-5)
    assert before < to_ns(moving.header.stamp) < joy_cell.node.get_clock().now().nanoseconds
    joy_cell.until_joy(REST, rests, "rest")
    joy_cell.publish_joy(REST, [0, 1])
    joy_cell.until_sample(is_estop, "the emergency stop button")
    told = joy_cell.until_diagnosed(lambda: joy_cell.publish_joy(REST), DiagnosticStatus.OK, "connected")
    assert told == {"device": "joystick (gamepad)", "connected": "true", "problem": "", "enabled": "true"}


def test_a_joystick_that_was_deflected_from_the_start_must_rest_first(joy_cell, start):
    process = start(device="joy")
    seen = len(joy_cell.samples)
    joy_cell.until_joy(FORWARD, lambda sample: sample.connected, "the joystick")
    joy_cell.until_joy(FORWARD, lambda sample: len(joy_cell.samples) > seen + 20, "heartbeats")
    assert not any(sample.active for sample in joy_cell.samples)
    joy_cell.rest_joy()
    joy_cell.until_joy(FORWARD, moves, "motion")
    process.terminate()
    assert "let go of it once" in process.communicate()[0]


def test_zeros_of_spacenav_stop_the_motion_and_keep_the_control(cell, start):
    cell.joy = cell.node.create_publisher(Joy, "spacenav/joy", 10)
    start(device="joy", joy_preset="spacenav", joy_presets="['spacenav: spacenav/joy 6 0.3']")
    cell.rest_joy()
    cell.until_joy([1, 0, 0, 0, 0, 0], moves, "motion")
    still = cell.until_joy(REST, lambda sample: not any(sample.values), "a stop")
    assert still.connected and still.active
    cell.until_joy([1, 0, 0, 0, 0, 0], moves, "motion goes on")
    cell.until_joy(REST, rests, "rest after zeros that last")


_PUBLISHER = """
import sys, time, rclpy
from sensor_msgs.msg import Joy
rclpy.init()
node = rclpy.create_node("pad")
publisher = node.create_publisher(Joy, "joy", 10)
for line in sys.stdin:
    pass
started = time.monotonic()
while True:
    forward = float(time.monotonic() - started > 1.0)
    message = Joy(axes=[0.0, forward, 0.0, 0.0, 0.0, 0.0], buttons=[0, 0])
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    time.sleep(0.02)
"""


def test_a_joystick_publisher_that_is_killed_while_deflected_is_a_lost_device(cell, start, processes):
    pad = subprocess.Popen([sys.executable, "-c", _PUBLISHER], stdin=subprocess.PIPE, text=True)
    processes.append(pad)
    start(device="joy", joy_stale_s=1.0)
    cell.spin_until(lambda: cell.node.count_publishers("joy") == 1, "the joystick's publisher")
    pad.stdin.close()
    pad.stdin = None
    cell.until_sample(moves, "motion")
    pad.kill()
    pad.wait()
    cell.until_sample(is_lost, "the loss of the joystick")


def test_a_second_publisher_of_the_joystick_topic_ends_the_control(joy_cell, start):
    process = start(device="joy")
    joy_cell.rest_joy()
    joy_cell.until_joy(FORWARD, moves, "motion")
    second = joy_cell.node.create_publisher(Joy, "joy", 10)
    joy_cell.until_joy(FORWARD, is_lost, "the loss")
    joy_cell.node.destroy_publisher(second)
    joy_cell.until_joy(FORWARD, lambda sample: sample.connected and not sample.active, "the return")
    process.terminate()
    assert "2 publishers on joy" in process.communicate()[0]


@pytest.mark.parametrize(
    ("axes", "ahead_s", "reason"),
    [
        (FORWARD, 2.0, "s ahead"),
        (FORWARD, -8.0, "s old"),
        ([float("nan")] * 6, 0.0, "not finite"),
        ([1], 0.0, "1 axes"),
    ],
)
def test_what_a_joystick_may_not_say_is_refused_with_its_reason(joy_cell, start, axes, ahead_s, reason):
    process = start(device="joy")
    joy_cell.until_joy(REST, rests, "a resting joystick")
    joy_cell.until_joy(axes, is_lost, "the refusal", ahead_s=ahead_s)
    assert not any(sample.active for sample in joy_cell.samples)
    process.terminate()
    assert reason in process.communicate()[0]


def test_a_joystick_in_lockstep_answers_every_tick(joy_cell, start):
    start(joy_cell.pose, device="joy", lockstep=True)
    samples = []

    def tick(axes) -> OperatorCommand:
        seen = len(joy_cell.samples)
        number = len(samples) + 1
        joy_cell.publish_joy(axes)
        joy_cell.send_pose(number)
        joy_cell.spin_until(lambda: len(joy_cell.samples) > seen, f"the answer to tick {number}")
        samples.append(joy_cell.samples[-1])
        assert to_ns(samples[-1].header.stamp) == number * PERIOD_NS
        return samples[-1]

    end = time.monotonic() + WAIT_S
    while not tick(REST).connected or len(samples) < 300:
        assert time.monotonic() < end
    while not moves(tick(FORWARD)):
        assert time.monotonic() < end
    while tick(REST).active:
        assert time.monotonic() < end
    assert len(joy_cell.samples) == len(samples)


def test_auto_takes_a_joystick_that_is_published(joy_cell, start):
    start(device="auto", auto_wait_s=30.0)
    assert joy_cell.until_joy(REST, rests, "a resting joystick").device == "joy"


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
    command = [sys.executable, "-m", "apo_teleop.teleop_node", "--ros-args", "-p", f"contract_file:={CONTRACT_FILE}"]
    command += ["-p", "device:=keyboard", "-p", f"keyboard_terminal:={tmp_path / 'none'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "device = keyboard needs a terminal" in done.stderr
