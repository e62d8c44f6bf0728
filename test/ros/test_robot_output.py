"""Every output of a running arbiter over DDS, to an arm that stands for the robot and its policy."""

import signal
import subprocess
import time
from collections.abc import Callable
from math import pi
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_command import node_command
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")

from apo_core.contract.contract import Contract, load_contract
from apo_core.ros.action_chunk import chunk_to_msg
from apo_core.ros.conversions import array_to_pose, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import ActionChunk
from apo_interfaces.msg import ActionChunk as ActionChunkMessage
from apo_interfaces.msg import ActionCommand, AdapterStatus, OperatorCommand
from apo_teleop.outputs.kinematics import Arm

ROOT = Path(__file__).parents[2]
URDF = ROOT / "test" / "data" / "urdf" / "panda.urdf"
WAIT_S = 30.0  # limit of a wait for something that will come
JOINTS = [f"panda_joint{i}" for i in range(1, 8)]
READY = np.array([0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4])
MODEL = Arm(URDF.read_text(), "panda_link0", "panda_link8", JOINTS, "panda.urdf")
POSTURE = MODEL.at(READY)
FORWARD = np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32)
LINKS = {"base_link": "panda_link0", "tip_link": "panda_link8"}


class Robot:
    """An arm that stands still at READY, with a policy that wants it to go forward."""

    def __init__(self, contract: Contract):
        self.node, self._contract = rclpy.create_node("robot"), contract
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        # first of all: an arbiter that has answered the rest has this one
        self._state = self.node.create_client(ChangeState, "arbiter/change_state")
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", sensors("reliable"))
        self._joints = self.node.create_publisher(JointState, "joint_states", sensors("reliable"))
        self._chunk = self.node.create_publisher(ActionChunkMessage, "policy/chunk", COMMANDS)
        self._adapter = self.node.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
        self.description = self.node.create_publisher(String, "robot_description", LATCHED)
        self._adapter.publish(AdapterStatus(state=AdapterStatus.LOADED, version=0))
        self.commands: list[ActionCommand] = []
        self.arm: list = []
        self.gripper: list = []
        self.node.create_subscription(ActionCommand, "command", self.commands.append, COMMANDS)
        self._operator: Publisher | None = None  # lockstep alone
        self._simulated_ns = 100 * 10**9
        self.at, self.frame = POSTURE.position, ""
        self.reports_joints = True

    def subscribe(self, arm: type, gripper: type | None = None) -> None:
        self.node.create_subscription(arm, "arm/commands", self.arm.append, COMMANDS)
        if gripper is not None:
            self.node.create_subscription(gripper, "gripper/commands", self.gripper.append, COMMANDS)

    @property
    def since_driven(self) -> int:
        """Number of commands from the first that moves the robot."""
        first = next(i for i, command in enumerate(self.commands) if command.source != "HOLD")
        return len(self.commands) - first

    def in_lockstep(self) -> None:
        """Time is that of the stamps, and an operator at rest answers each tick."""
        self._operator = self.node.create_publisher(OperatorCommand, "operator/command", COMMANDS)

    def change_state(self, transition: int) -> None:
        """Lifecycle transition of the arbiter."""
        self.spin_until(self._state.service_is_ready, "the service")
        future = self._state.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self.spin_until(future.done, "the transition")
        assert future.result().success

    def describe(self) -> None:
        self.description.publish(String(data=URDF.read_text()))

    def send(self) -> None:
        now_ns = self.node.get_clock().now().nanoseconds
        if self._operator is not None:
            self._simulated_ns += self._contract.period_ns
            now_ns = self._simulated_ns
        pose = PoseStamped(pose=array_to_pose(np.concatenate([self.at, POSTURE.quaternion])))
        joints = JointState(name=[*reversed(JOINTS), "finger"], position=[*READY[::-1].tolist(), 0.04])
        pose.header.frame_id = self.frame
        pose.header.stamp = joints.header.stamp = to_stamp(now_ns)
        self._pose.publish(pose)
        if self.reports_joints:
            self._joints.publish(joints)
        chunk = ActionChunk(now_ns, self._contract.period_ns, np.tile(FORWARD, (4, 1)), np.zeros(4, np.float32), 0)
        self._chunk.publish(chunk_to_msg(chunk, now_ns, self._contract, 0.01))
        if self._operator is not None:
            sample = OperatorCommand(connected=True, values=[0.0] * 7)
            sample.header.stamp = to_stamp(now_ns)
            self._operator.publish(sample)

    def spin_until(self, condition: Callable[[], object], what: str) -> None:
        """Reports and predicts at the contract's rate until the condition holds."""
        end, due = time.monotonic() + WAIT_S, 0.0
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}; last: {self.commands[-1:]}"
            if time.monotonic() >= due:
                due = time.monotonic() + 1.0 / self._contract.rate_hz
                self.send()
            self._executor.spin_once(timeout_sec=0.01)

    def until_reason(self, reason: str) -> ActionCommand:
        """The first command with that reason from now on."""
        seen = len(self.commands)
        self.spin_until(lambda: any(c.reason == reason for c in self.commands[seen:]), reason)
        return next(c for c in self.commands[seen:] if c.reason == reason)


@pytest.fixture
def contract(tmp_path) -> Contract:
    """That of the simulation, with the joints and the workspace of this arm."""
    data = yaml.safe_load((ROOT / "config" / "contract.yaml").read_text())
    for part in ("joint_position", "joint_velocity"):
        data["state"][part]["joints"] = JOINTS
    data["limits"]["workspace_low"], data["limits"]["workspace_high"] = [-1.0, -1.0, 0.0], [1.0, 1.0, 1.5]
    file = tmp_path / "contract.yaml"
    file.write_text(yaml.safe_dump(data))
    return load_contract(file)


@pytest.fixture
def robot(ros, contract):
    made = Robot(contract)
    yield made
    made.node.destroy_node()


@pytest.fixture
def start(ros_domain, robot, contract):
    """(parameters) -> the arbiter as a process."""
    processes = []

    def launch(**parameters) -> subprocess.Popen:
        arguments = {
            "contract_file": contract.source,
            "start_enabled": True,
            "policy_silent_s": 10.0,  # on a slow machine inputs may pause
            "joint_state_max_age_s": 2.0,
            "output_topic": "arm/commands",
            "gripper_topic": "gripper/commands",
            **parameters,
        }
        command = node_command("apo_teleop.arbiter_node", arguments)
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


def end(robot: Robot, process: subprocess.Popen) -> None:
    """Ends the arbiter and waits for its last command, and for as many messages as commands.

    What was sent before somebody drove may have come before the robot subscribed.
    """
    process.send_signal(signal.SIGINT)
    robot.spin_until(lambda: process.poll() is not None, "the end of the arbiter")
    robot.spin_until(lambda: robot.commands[-1].reason == "deactivated", "the last command")
    robot.spin_until(lambda: len(robot.arm) >= robot.since_driven, "a message for each command")
    assert len(robot.arm) <= len(robot.commands) and process.returncode == 0


def driven(robot: Robot) -> object:
    """The arm's message for a command by which the policy drives at its full speed."""
    robot.until_reason("policy_in_control")
    for _ in range(20):
        robot.spin_until(lambda: robot.commands[-1].values[0] == FORWARD[0], "full speed")
        sent, seen = len(robot.arm), len(robot.commands)
        robot.spin_until(lambda: len(robot.arm) > sent and len(robot.commands) > seen + 1, "a message")  # noqa: B023
        # on a slow machine the arm may have been held meanwhile
        if all(command.values[0] == FORWARD[0] for command in robot.commands[max(0, seen - 2) :]):
            return robot.arm[sent]
    raise AssertionError("the policy never drove at full speed for three commands")


def leads(robot: Robot, positions: Callable) -> None:
    """Waits for a target that is ahead of the arm, forward alone."""

    def ahead() -> np.ndarray | None:
        """The first beyond those of the blend; further on the way of the joints bends away from the straight line."""
        moved = (MODEL.at(np.array(positions(message))).position - POSTURE.position for message in robot.arm)
        return next((offset for offset in moved if offset[0] > 1e-3), None)

    robot.spin_until(lambda: ahead() is not None, "a target ahead of the arm")
    assert np.max(np.abs(ahead()[1:])) < 1e-2 * ahead()[0]


def joint_velocity(positions: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """The least joint velocity that gives the twist."""
    return np.linalg.pinv(MODEL.at(positions).jacobian) @ twist


def test_twist_and_gripper_trajectory_with_the_observations_stamp(robot, start):
    robot.subscribe(TwistStamped, JointTrajectory)
    process = start(output="twist", gripper_joint="finger")
    message = driven(robot)
    assert message.header.frame_id == "base"
    stamp = message.header.stamp
    robot.spin_until(lambda: any(c.observation_stamp == stamp for c in robot.commands), "the command with its stamp")
    assert (message.twist.linear.x, message.twist.linear.y) == (float(FORWARD[0]), 0.0)
    end(robot, process)
    linear, angular = robot.arm[-1].twist.linear, robot.arm[-1].twist.angular
    assert (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z) == (0.0,) * 6
    robot.spin_until(lambda: len(robot.gripper) >= robot.since_driven, "a gripper message for each command")
    last = robot.gripper[-1]
    assert last.joint_names == ["finger"] and list(last.points[0].positions) == [0.08]
    assert last.header.stamp == robot.commands[-1].observation_stamp


def test_pose_in_the_controllers_frame(robot, start):
    robot.subscribe(PoseStamped)
    process = start(output="pose", output_frame="panda_link0", output_stamp="now", gripper_output="none")
    message = driven(robot)
    assert message.header.frame_id == "panda_link0"
    assert abs(to_ns(message.header.stamp) - robot.node.get_clock().now().nanoseconds) < WAIT_S * 1e9
    p, q = message.pose.position, message.pose.orientation
    assert 0.0 < p.x - POSTURE.position[0] <= 0.05 + 1e-6  # the lead
    assert (p.y, p.z) == pytest.approx((POSTURE.position[1], POSTURE.position[2]), abs=1e-6)
    assert [q.x, q.y, q.z, q.w] == pytest.approx(POSTURE.quaternion.tolist(), abs=1e-6)
    end(robot, process)
    ahead = [sent.pose.position.x - POSTURE.position[0] for sent in robot.arm]
    # forward alone, up to the lead, and no jump back at the end
    assert np.min(np.diff(ahead)) >= -1e-9 and ahead[-1] <= 0.05 + 1e-6


def test_joint_velocities_and_gripper_position(robot, start):
    robot.subscribe(Float64MultiArray, Float64MultiArray)
    process = start(output="joint_velocity", urdf_file=URDF, gripper_output="position", gripper_open_m=0.04, **LINKS)
    message = driven(robot)
    np.testing.assert_allclose(message.data, joint_velocity(READY, FORWARD[:6]), atol=1e-5)
    end(robot, process)
    assert list(robot.arm[-1].data) == [0.0] * 7
    robot.spin_until(lambda: len(robot.gripper) >= robot.since_driven, "a gripper message for each command")
    assert list(robot.gripper[-1].data) == [0.04]


def test_joint_positions(robot, start):
    robot.subscribe(Float64MultiArray)
    process = start(output="joint_position", urdf_file=URDF, gripper_output="none", **LINKS)
    driven(robot)
    leads(robot, lambda message: message.data)
    end(robot, process)
    targets = np.array([sent.data for sent in robot.arm])
    assert np.max(np.abs(targets[-1] - READY)) <= 0.2 + 1e-6  # the lead
    assert np.all(np.abs(np.diff(targets, axis=0)) <= 0.8 * MODEL.speed * 0.1 + 1e-9)


def test_joint_trajectories(robot, start):
    robot.subscribe(JointTrajectory)
    process = start(output="joint_trajectory", urdf_file=URDF, output_stamp="now", gripper_output="none", **LINKS)
    message = driven(robot)
    assert message.joint_names == JOINTS and to_ns(message.header.stamp) == 0
    (point,) = message.points
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 50_000_000)
    assert not point.velocities
    leads(robot, lambda message: message.points[0].positions)
    end(robot, process)
    targets = np.array([sent.points[0].positions for sent in robot.arm])
    assert np.max(np.abs(targets[-1] - READY)) <= 0.2 + 1e-6  # the lead
    assert np.all(np.abs(np.diff(targets, axis=0)) <= 0.8 * MODEL.speed * 0.1 + 1e-9)


def test_a_target_that_begins_again_begins_where_the_arm_is_then(robot, start):
    robot.subscribe(PoseStamped)
    start(output="pose", gripper_output="none")
    driven_to_lead = POSTURE.position[0] + 0.05
    robot.spin_until(lambda: robot.arm and abs(robot.arm[-1].pose.position.x - driven_to_lead) < 1e-6, "the lead")
    robot.change_state(Transition.TRANSITION_DEACTIVATE)
    robot.at = POSTURE.position + np.array([0.0, 0.2, 0.0])
    seen = len(robot.arm)
    robot.change_state(Transition.TRANSITION_ACTIVATE)
    robot.spin_until(lambda: len(robot.arm) > seen, "a target")
    first = robot.arm[seen].pose.position
    assert (first.x, first.y) == pytest.approx((robot.at[0], robot.at[1]), abs=0.02)


def test_a_pose_in_another_frame_is_no_place_for_a_target(robot, start):
    robot.subscribe(PoseStamped)
    robot.frame = "world"
    start(output="pose", gripper_output="none", output_frame="panda_link0")
    held = robot.until_reason("observation_invalid")
    assert held.source == "HOLD" and not robot.arm
    robot.frame = "panda_link0"
    robot.until_reason("policy_in_control")
    robot.spin_until(lambda: robot.arm, "a target")


def test_a_hostile_description_is_a_fault_and_a_sound_one_ends_it(robot, start):
    robot.subscribe(Float64MultiArray)
    diagnostics: list[DiagnosticArray] = []
    robot.node.create_subscription(DiagnosticArray, "/diagnostics", diagnostics.append, COMMANDS)
    start(output="joint_velocity", gripper_output="none", **LINKS)
    robot.description.publish(String(data=URDF.read_text().replace('name="panda_joint3"', "")))
    robot.spin_until(lambda: diagnostics and "has no name" in str(diagnostics[-1]), "the fault")
    assert robot.commands[-1].reason == "output_blocked"
    robot.describe()
    robot.until_reason("policy_in_control")


def test_in_lockstep_ages_count_in_stamps(robot, start):
    robot.subscribe(PoseStamped)
    robot.in_lockstep()
    start(output="pose", gripper_output="none", lockstep=True, lockstep_deadline_s=20.0)
    # by the clock of the wall these stamps are decades old
    robot.spin_until(lambda: robot.arm and robot.arm[-1].pose.position.x > POSTURE.position[0] + 0.01, "motion")
    assert robot.commands[-1].reason == "policy_in_control"


def test_no_output_sends_nothing(robot, start):
    robot.subscribe(TwistStamped, JointTrajectory)
    start(output="none", gripper_output="none")
    robot.until_reason("policy_in_control")
    assert not robot.arm and not robot.gripper
    assert robot.node.count_publishers("arm/commands") == 0


def test_the_arm_is_held_while_its_joints_are_not_known(robot, start):
    robot.subscribe(Float64MultiArray)
    robot.reports_joints = False
    start(output="joint_velocity", gripper_output="none", joint_state_max_age_s=0.3, **LINKS)
    held = robot.until_reason("output_blocked")
    assert held.source == "HOLD"
    robot.describe()
    robot.reports_joints = True
    robot.until_reason("policy_in_control")
    robot.reports_joints = False
    held = robot.until_reason("output_blocked")
    index = robot.commands.index(held)
    robot.spin_until(lambda: len(robot.arm) > index, "the message of the hold")
    assert list(robot.arm[index].data) == [0.0] * 7
    robot.reports_joints = True
    robot.until_reason("policy_in_control")


def test_somebody_else_who_sends_the_arm_commands_holds(robot, start):
    robot.subscribe(TwistStamped)
    start(output="twist", gripper_output="none", publisher_check_s=0.05)
    robot.until_reason("policy_in_control")
    intruder = robot.node.create_publisher(TwistStamped, "arm/commands", COMMANDS)
    robot.until_reason("multiple_publishers")
    robot.node.destroy_publisher(intruder)
    robot.until_reason("policy_in_control")


def test_a_urdf_that_does_not_fit_ends_the_arbiter(start):
    process = start(output="joint_velocity", urdf_file=URDF, base_link="panda_link0", tip_link="flange")
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert "tip_link = 'flange' is not a link of the robot" in output
