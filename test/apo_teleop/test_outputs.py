"""Twist, pose and joint outputs over sequences of commands; the arm is the Panda of test_kinematics."""

import dataclasses
from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apo_core.contract import Contract, StateSpec, load_contract
from apo_core.errors import ConfigError
from apo_core.rotations import matrix_from_quaternion
from apo_core.types import ControlSource
from apo_teleop.kinematics import Arm
from apo_teleop.output_config import OutputConfig
from apo_teleop.outputs import JointOutput, PoseOutput, TwistOutput, angle_between, make_output, rotated

ROOT = Path(__file__).parents[2]
URDF = ROOT / "test" / "data" / "urdf" / "panda.urdf"
CONTRACT = load_contract(ROOT / "config" / "contract.yaml")  # 20 Hz
MS = 1_000_000
PERIOD = 50 * MS
POLICY, HUMAN, HOLD = ControlSource.POLICY, ControlSource.HUMAN, ControlSource.HOLD
READY = np.array([0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4])
READY_POSITION = np.array([0.306891, 0.0, 0.590282])
FORWARD = np.array([0.1, 0, 0, 0, 0, 0])
LEVEL = np.array([0.0, 0.0, 0.0, 1.0])


def test_a_twist_goes_out_as_it_is():
    values = np.array([0.1, -0.2, 0.3, 1.0, -2.0, 3.0], np.float32)
    out = TwistOutput().command(values, POLICY, 0, 0)
    assert out.dtype == np.float64
    assert (out.astype(np.float32) == values).all()


class PoseArm:
    """A pose output with its arm."""

    def __init__(self, **config):
        self.output = PoseOutput(OutputConfig(output="pose", **config), 0.05)
        self.now = 10_000 * MS

    def at(self, position, quaternion=LEVEL) -> None:
        self.output.on_pose(np.array(position), np.array(quaternion))

    def send(self, twist, source=POLICY, dt_ns=PERIOD) -> np.ndarray | None:
        self.now += dt_ns
        return self.output.command(np.array(twist), source, self.now, self.now)


def test_without_a_pose_there_is_no_target():
    arm = PoseArm()
    assert arm.output.fault(0) != ""
    assert arm.send(FORWARD) is None
    arm.at([np.nan, 0, 0])
    arm.at([0, 0, 0], [0, 0, 0, 0])
    assert arm.send(FORWARD) is None
    arm.at([0, 0, 1])
    assert arm.output.fault(0) == ""
    np.testing.assert_allclose(arm.send(FORWARD), [0.005, 0, 1, 0, 0, 0, 1])


def test_the_target_is_integrated_from_the_last_target_not_from_the_arm():
    arm = PoseArm()
    arm.at([0, 0, 1])
    targets = [arm.send(FORWARD) for _ in range(5)]  # the arm has not moved yet
    np.testing.assert_allclose([t[0] for t in targets], [0.005, 0.010, 0.015, 0.020, 0.025])


def test_commands_between_ticks_move_the_target_by_the_time_that_went_by():
    arm = PoseArm()
    arm.at([0, 0, 1])
    arm.send(FORWARD)
    np.testing.assert_allclose(arm.send(FORWARD, dt_ns=10 * MS)[0], 0.006)
    np.testing.assert_allclose(arm.send(FORWARD, dt_ns=40 * MS)[0], 0.010)


def test_a_pause_moves_the_target_by_two_periods_at_most():
    arm = PoseArm()
    arm.at([0, 0, 1])
    arm.send(FORWARD)
    np.testing.assert_allclose(arm.send(FORWARD, dt_ns=5000 * MS)[0], 0.015)
    np.testing.assert_allclose(arm.send(FORWARD, dt_ns=-5000 * MS)[0], 0.015)


@pytest.mark.parametrize("source", [HUMAN, HOLD])
def test_a_change_of_source_begins_at_the_measured_pose(source):
    arm = PoseArm()
    arm.at([0, 0, 1])
    for _ in range(4):
        arm.send(FORWARD)
    arm.at([0.012, 0, 1])
    np.testing.assert_allclose(arm.send([0, 0.1, 0, 0, 0, 0], source)[:3], [0.012, 0.005, 1])
    arm.at([0.013, 0, 1])
    np.testing.assert_allclose(arm.send([0, 0.1, 0, 0, 0, 0], source)[:3], [0.012, 0.010, 1])
    assert arm.output.summary() == {"target_reset_change_of_source": "2"}


def test_at_rest_the_target_stays_while_the_arm_drifts():
    arm = PoseArm()
    arm.at([0, 0, 1])
    first = arm.send(np.zeros(6), HOLD)
    arm.at([0, 0, 0.99])
    np.testing.assert_array_equal(arm.send(np.zeros(6), HOLD), first)


def test_an_arm_that_is_held_back_is_not_pulled_further_than_the_lead():
    arm = PoseArm(pose_lead_m=0.012)
    arm.at([0, 0, 1])
    targets = [arm.send(FORWARD)[0] for _ in range(20)]
    assert max(targets) == pytest.approx(0.015)  # the lead, and the step after which it is noticed
    assert arm.output.summary()["target_reset_lead"] == "6"
    arm = PoseArm(pose_lead_rad=0.12)
    arm.at([0, 0, 1])
    turned = [angle_between(arm.send([0, 0, 0, 0, 0, 1.0])[3:], LEVEL) for _ in range(20)]
    assert max(turned) == pytest.approx(0.15)


def test_restart_begins_at_the_measured_pose():
    arm = PoseArm()
    arm.at([0, 0, 1])
    arm.send(FORWARD)
    arm.at([0.02, 0, 1])
    arm.output.restart()
    np.testing.assert_allclose(arm.send(FORWARD, dt_ns=9000 * MS)[0], 0.025)


def test_a_quarter_turn_about_each_axis_is_exact():
    half = sqrt(0.5)
    for axis in range(3):
        turned = rotated(LEVEL, np.eye(3)[axis] * pi / 2)
        np.testing.assert_allclose(turned, [*(np.eye(3)[axis] * half), half], atol=1e-15)


def test_the_rotation_is_about_the_fixed_axes():
    tilted = rotated(LEVEL, np.array([pi / 2, 0, 0]))
    turned = matrix_from_quaternion(rotated(tilted, np.array([0, 0, pi / 2])))
    # first about x, then about the fixed z
    np.testing.assert_allclose(turned, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-15)


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.integers(1, 40))
def test_many_small_turns_are_one_large_one(rotation, parts):
    rotation, q = np.array(rotation), LEVEL
    for _ in range(parts):
        q = rotated(q, rotation / parts)
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-12)
    assert angle_between(q, rotated(LEVEL, rotation)) == pytest.approx(0.0, abs=1e-7)


SPEEDS = st.lists(st.floats(-1, 1), min_size=3, max_size=3)
POSES = st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3)
COMMANDS = st.tuples(SPEEDS, SPEEDS, st.sampled_from([POLICY, HUMAN, HOLD]), st.integers(0, 400), POSES)


@given(st.lists(COMMANDS, min_size=1, max_size=30))
def test_no_course_of_commands_leads_a_pose_target_away_from_the_arm(commands):
    arm = PoseArm(pose_lead_m=0.03, pose_lead_rad=0.2)
    for linear, angular, source, dt_ms, position in commands:
        arm.at(position)
        target = arm.send([*linear, *angular], source, dt_ms * MS)
        assert np.all(np.isfinite(target)) and np.linalg.norm(target[3:]) == pytest.approx(1.0, abs=1e-9)
        # the lead, and what two periods of 0.05 s add at this speed
        assert np.linalg.norm(target[:3] - position) <= 0.03 + 0.1 * np.linalg.norm(linear) + 1e-9
        assert angle_between(target[3:], LEVEL) <= 0.2 + 0.1 * np.linalg.norm(angular) + 1e-6


def arm_contract() -> Contract:
    joints = tuple(f"panda_joint{i}" for i in range(1, 8))
    spec = StateSpec("joint_position", "joint_states", "sensor_msgs/msg/JointState", 7, "rad", "position", joints)
    pose = CONTRACT.state_spec("ee_pose")
    return dataclasses.replace(CONTRACT, state=(pose, spec))


class JointArm:
    """A joint output with its arm."""

    def __init__(self, output: str, **config):
        pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")
        values = {"base_link": "panda_link0", "tip_link": "panda_link8", "urdf_file": str(URDF), **config}
        self.output = make_output(OutputConfig(output=output, **values), arm_contract())
        self.now = 10_000 * MS

    def at(self, positions=READY, age_ns=0, position=READY_POSITION) -> None:
        self.output.on_joints(None if positions is None else np.array(positions), "", self.now - age_ns)
        self.output.on_pose(np.array(position), LEVEL)

    def send(self, twist, source=POLICY, dt_ns=PERIOD, heard=True) -> np.ndarray | None:
        self.now += dt_ns
        if heard:
            self.output.on_joints(self.measured, "", self.now)
        return self.output.command(np.array(twist), source, self.now, self.now)

    measured = READY


def test_joint_velocity_moves_the_tip_as_commanded():
    arm = JointArm("joint_velocity")
    arm.at()
    assert arm.output.fault(arm.now) == ""
    velocity = arm.send([0.1, 0, 0, 0, 0, 0])
    assert velocity.shape == (7,)
    # by hand: dx = sum of J[0] * velocity, with row 0 of the Jacobian at READY
    row = [0, 0.257282, 0, 0.0245, 0, 0.107, 0]
    assert float(np.dot(row, velocity)) == pytest.approx(0.1, abs=1e-5)
    assert arm.output.joints == tuple(f"panda_joint{i}" for i in range(1, 8))


def test_joint_targets_are_integrated_from_the_last_target():
    arm = JointArm("joint_position")
    arm.at()
    targets = np.array([arm.send(FORWARD) for _ in range(4)])
    model = Arm(URDF.read_text(), "panda_link0", "panda_link8", arm.output.joints, "panda.urdf")
    path = np.array([model.at(target).position for target in targets]) - READY_POSITION
    np.testing.assert_allclose(path, [[0.005, 0, 0], [0.010, 0, 0], [0.015, 0, 0], [0.020, 0, 0]], atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(SPEEDS, SPEEDS, st.sampled_from([POLICY, HUMAN, HOLD]), st.integers(0, 400)), max_size=30))
def test_no_course_of_commands_leads_a_joint_target_beyond_speed_or_position_limits(commands):
    arm = JointArm("joint_position", joint_lead_rad=0.1)
    model = Arm(URDF.read_text(), "panda_link0", "panda_link8", arm.output.joints, "panda.urdf")
    arm.at()
    last = READY
    for linear, angular, source, dt_ms in commands:
        target = arm.send([*linear, *(3 * w for w in angular)], source, dt_ms * MS)
        assert np.all(target >= model.lower + 0.05 - 1e-9) and np.all(target <= model.upper - 0.05 + 1e-9)
        moved = np.minimum(np.abs(target - last), np.abs(target - READY))  # or it began at the arm again
        assert np.all(moved <= 0.8 * model.speed * min(dt_ms * 1e-3, 0.1) + 1e-9) or last is READY
        assert np.max(np.abs(target - READY)) <= 0.1 + 0.1 * np.max(model.speed)
        last = target


def test_joint_targets_begin_at_the_arm_when_control_changes_hands_or_it_is_left_behind():
    arm = JointArm("joint_position", joint_lead_rad=0.03)
    arm.at()
    targets = [arm.send([0.3, 0, 0, 0, 0, 0]) for _ in range(30)]
    assert np.max(np.abs(np.array(targets) - READY)) < 0.03 + 0.05
    np.testing.assert_allclose(arm.send(np.zeros(6), HOLD), READY)


def test_a_joint_target_at_rest_stays():
    arm = JointArm("joint_trajectory")
    arm.at()
    first = arm.send(np.zeros(6), HOLD)
    arm.measured = READY - 0.01
    np.testing.assert_array_equal(arm.send(np.zeros(6), HOLD), first)


def test_a_joint_that_stands_beyond_its_margin_is_not_pulled_back():
    arm = JointArm("joint_position")
    beyond = READY.copy()
    beyond[6] = 2.89  # limit 2.8973, margin 0.05
    arm.measured = beyond
    arm.at(beyond)
    np.testing.assert_array_equal(arm.send(np.zeros(6), HOLD), beyond)


@pytest.mark.parametrize(
    ("break_it", "fault"),
    [
        (
            lambda arm: arm.output.on_joints(None, "joints ['panda_joint1'] have no position", arm.now),
            "have no position",
        ),
        (lambda arm: arm.output.on_joints(np.full(7, np.nan), "", arm.now), "not finite"),
        (lambda arm: arm.at(age_ns=200 * MS), "joint state is 0.200 s old, joint_state_max_age_s = 0.1"),
        (lambda arm: arm.at(position=(0.3, 0.1, 0.6)), "kinematics_tolerance_m = 0.05"),
    ],
)
@pytest.mark.parametrize("output", ["joint_velocity", "joint_position", "joint_trajectory"])
def test_without_usable_joints_the_arm_stands_still(output, break_it, fault):
    arm = JointArm(output)
    arm.at()
    last = arm.send(FORWARD)
    break_it(arm)
    assert fault in arm.output.fault(arm.now)
    still = arm.send(FORWARD, dt_ns=0, heard=False)
    np.testing.assert_array_equal(still, np.zeros(7) if output == "joint_velocity" else last)
    arm.at()
    assert arm.output.fault(arm.now) == ""


@pytest.mark.parametrize(("output", "safe"), [("joint_velocity", [0.0] * 7), ("joint_position", None)])
def test_before_the_first_joint_state_only_zero_velocity_is_sent(output, safe):
    arm = JointArm(output)
    assert "no joint state with ['panda_joint1'" in arm.output.fault(arm.now)
    sent = arm.send(FORWARD, heard=False)
    assert safe == (None if sent is None else sent.tolist())


def test_the_description_may_come_later_and_only_once():
    arm = JointArm("joint_velocity", urdf_file="")
    arm.at()
    assert arm.output.fault(arm.now) == "no robot description on robot_description"
    arm.output.on_description("<robot")
    assert "is not XML" in arm.output.fault(arm.now)
    arm.output.on_description(URDF.read_text())
    assert arm.output.fault(arm.now) == ""
    arm.output.on_description("<robot")
    assert arm.output.fault(arm.now) == ""


def test_limits_in_the_way_are_counted():
    arm = JointArm("joint_velocity")
    arm.at()
    arm.send([0, 3.0, 0, 0, 0, 0])
    told = arm.output.summary()
    assert float(told["speed_share"]) < 1.0
    assert told["slowed joint_speed.panda_joint1"] == "1"


def test_a_urdf_that_cannot_be_read_is_refused():
    with pytest.raises(ConfigError, match=r"urdf_file = '/nowhere\.urdf' cannot be read"):
        JointArm("joint_velocity", urdf_file="/nowhere.urdf")


def test_a_contract_without_joints_is_refused():
    with pytest.raises(ConfigError, match="joint_position with field: position is missing"):
        make_output(
            OutputConfig(output="joint_velocity", base_link="a", tip_link="b"),
            dataclasses.replace(CONTRACT, state=(CONTRACT.state_spec("ee_pose"),)),
        )


def test_each_output_has_its_class():
    assert make_output(OutputConfig(output="none"), CONTRACT) is None
    assert isinstance(make_output(OutputConfig(), CONTRACT), TwistOutput)
    assert isinstance(make_output(OutputConfig(output="pose"), CONTRACT), PoseOutput)
    made = make_output(OutputConfig(output="joint_trajectory", base_link="a", tip_link="b"), CONTRACT)
    assert isinstance(made, JointOutput)
