"""Twist, pose and joint outputs over sequences of commands; the arm is the Panda of test_kinematics."""

import dataclasses
import re
from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apo_core.contract import Contract, StateSpec, load_contract
from apo_core.errors import ConfigError
from apo_core.rotations import matrix_from_quaternion
from apo_teleop.kinematics import Arm
from apo_teleop.output_config import OutputConfig
from apo_teleop.outputs import JointOutput, PoseOutput, TwistOutput, make_output, rotated, turn_between

ROOT = Path(__file__).parents[2]
URDF = ROOT / "test" / "data" / "urdf" / "panda.urdf"
CONTRACT = load_contract(ROOT / "config" / "contract.yaml")  # 20 Hz
MS = 1_000_000
PERIOD = 50 * MS
READY = np.array([0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4])
READY_POSITION = np.array([0.306891, 0.0, 0.590282])
FORWARD = np.array([0.1, 0, 0, 0, 0, 0])
LEVEL = np.array([0.0, 0.0, 0.0, 1.0])


REST = np.zeros(6)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(turn_between(a, b)))


def test_a_twist_goes_out_as_it_is():
    values = np.array([0.1, -0.2, 0.3, 1.0, -2.0, 3.0], np.float32)
    out = TwistOutput().command(values, 0)
    assert out.dtype == np.float64
    assert (out.astype(np.float32) == values).all()


class PoseArm:
    """A pose output at 20 Hz with its arm, which reports where it is before each command."""

    def __init__(self, speed=0.25, turning=1.0, box=((-1.0,) * 3, (1.5,) * 3), **config):
        low, high = box
        limits = dataclasses.replace(
            CONTRACT.limits, linear_speed=speed, angular_speed=turning, workspace_low=low, workspace_high=high
        )
        contract = dataclasses.replace(CONTRACT, limits=limits)
        self.output = PoseOutput(OutputConfig(output="pose", **config), contract)
        self.now = 10_000 * MS
        self.pose: tuple | None = None  # position, quaternion; None: reports nothing

    def at(self, position, quaternion=LEVEL) -> None:
        self.pose = np.array(position), np.array(quaternion)

    def send(self, twist, dt_ns=PERIOD, age_ns=0) -> np.ndarray | None:
        self.now += dt_ns
        if self.pose is not None:
            self.output.on_pose(*self.pose, self.now - age_ns)
        return self.output.command(np.array(twist), self.now)


def test_without_a_pose_there_is_no_target():
    arm = PoseArm()
    assert arm.output.fault(0) == "no end-effector pose to begin a pose target at"
    assert arm.send(FORWARD) is None
    arm.at([np.nan, 0, 0])
    assert arm.send(FORWARD) is None
    arm.at([0, 0, 0], [0, 0, 0, 0])
    assert arm.send(FORWARD) is None
    assert arm.output.fault(arm.now) != ""
    arm.at([0, 0, 1])
    np.testing.assert_allclose(arm.send(FORWARD), [0.005, 0, 1, 0, 0, 0, 1])
    assert arm.output.fault(arm.now) == ""


def test_a_target_begins_at_a_pose_of_at_most_two_periods():
    arm = PoseArm()
    arm.at([0, 0, 1])
    assert arm.send(FORWARD, age_ns=101 * MS) is None
    assert arm.output.fault(arm.now) == (
        "end-effector pose is 0.101 s old, a target begins at one of at most 0.1 s, 2 periods of rate_hz in "
        f"{CONTRACT.source}"
    )
    assert arm.send(FORWARD, age_ns=100 * MS) is not None
    assert arm.output.fault(arm.now + 300 * MS) == ""


def test_a_pose_older_than_the_contract_allows_is_a_fault():
    arm = PoseArm()
    arm.at([0, 0, 1])
    arm.send(FORWARD)
    assert arm.output.fault(arm.now + 500 * MS) == ""
    assert arm.output.fault(arm.now + 501 * MS) == (
        f"end-effector pose is 0.501 s old, max_age_s = 0.5 in {CONTRACT.source}"
    )


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


def test_a_command_beyond_the_contracts_speed_moves_the_target_at_that_speed():
    arm = PoseArm(speed=0.25, turning=1.0)
    arm.at([0, 0, 1])
    sent = arm.send([3.0, 4.0, 0, 0, 0, 20.0])
    np.testing.assert_allclose(sent[:3], [0.0075, 0.010, 1])
    assert angle_between(sent[3:], LEVEL) == pytest.approx(0.05)


def test_an_arm_that_follows_late_never_draws_its_target_back():
    arm = PoseArm(speed=0.25)
    path = [0.0]
    for _ in range(8):
        arm.at([path[max(0, len(path) - 3)], 0, 1])  # 100 ms behind
        path.append(arm.send([0.25, 0, 0, 0, 0, 0])[0])
    # control changes hands, then HOLD brakes in two ticks
    for speed in (0.25, 0.25, 0.125, 0.0, 0.0):
        arm.at([path[-3], 0, 1])
        path.append(arm.send([speed, 0, 0, 0, 0, 0])[0])
    steps = np.diff(path)
    np.testing.assert_allclose(steps, [0.0125] * 10 + [0.00625, 0, 0], atol=1e-12)


def test_while_the_pose_stands_still_the_target_stops_at_the_lead_and_stays_in_hold():
    arm = PoseArm(speed=0.25, pose_lead_m=0.05)
    arm.at([0, 0, 1])
    targets = [arm.send([0.25, 0, 0, 0, 0, 0])[0]]
    targets += [arm.send([0.25, 0, 0, 0, 0, 0], age_ns=tick * PERIOD)[0] for tick in range(1, 9)]
    targets += [arm.send(REST, age_ns=tick * PERIOD)[0] for tick in range(9, 12)]
    np.testing.assert_allclose(targets, [0.0125, 0.025, 0.0375] + [0.05] * 9, atol=1e-12)


def test_at_rest_the_target_stays_while_the_arm_drifts():
    arm = PoseArm()
    arm.at([0, 0, 1])
    first = arm.send(REST)
    arm.at([0, 0, 0.99])
    np.testing.assert_array_equal(arm.send(REST), first)


def test_an_arm_that_is_held_back_is_not_pulled_further_than_the_lead():
    arm = PoseArm(pose_lead_m=0.012)
    arm.at([0, 0, 1])
    targets = [arm.send(FORWARD)[0] for _ in range(20)]
    assert targets[:2] == pytest.approx([0.005, 0.010]) and targets[2:] == pytest.approx([0.012] * 18)
    assert arm.output.summary() == {"held_at_lead": "18"}
    np.testing.assert_allclose(arm.send(-FORWARD)[0], 0.007)
    arm = PoseArm(pose_lead_rad=0.12)
    arm.at([0, 0, 1])
    turned = [angle_between(arm.send([0, 0, 0, 0, 0, 1.0])[3:], LEVEL) for _ in range(20)]
    assert turned[:2] == pytest.approx([0.05, 0.10]) and turned[2:] == pytest.approx([0.12] * 18)


def test_the_target_of_an_arm_that_was_pushed_away_comes_back_into_the_lead_at_the_contracts_speed():
    arm = PoseArm(speed=0.25, turning=1.0, pose_lead_m=0.05, pose_lead_rad=0.3)
    arm.at([0, 0, 1])
    arm.send(REST)
    pushed = rotated(LEVEL, np.array([0, 0, 0.4]))
    arm.at([0.08, 0, 1], pushed)
    held = arm.send(REST, age_ns=101 * MS)  # an old pose says nothing
    np.testing.assert_allclose(held, [0, 0, 1, *LEVEL])
    targets = [arm.send(REST) for _ in range(5)]
    np.testing.assert_allclose([t[0] for t in targets], [0.0125, 0.025, 0.03, 0.03, 0.03])
    angles = [angle_between(t[3:], pushed) for t in targets]
    np.testing.assert_allclose(angles, [0.35, 0.3, 0.3, 0.3, 0.3])


def test_the_target_of_an_arm_that_follows_late_stays_in_the_box():
    arm = PoseArm(speed=0.25, box=((0.0, -0.5, 0.8), (0.03, 0.5, 1.5)))
    arm.at([0.01, 0, 1])
    targets = [arm.send([0.2, 0.1, 0, 0, 0, 0])[:2] for _ in range(4)]
    np.testing.assert_allclose(targets, [[0.02, 0.005], [0.03, 0.010], [0.03, 0.015], [0.03, 0.020]])


def test_a_target_that_begins_outside_the_box_may_only_go_in():
    arm = PoseArm(speed=0.25, box=((0.0, -0.5, 0.8), (0.3, 0.5, 1.5)))
    arm.at([0.35, 0, 1])
    assert arm.send([0.25, 0, 0, 0, 0, 0])[0] == 0.35
    assert arm.send([-0.25, 0, 0, 0, 0, 0])[0] == pytest.approx(0.3375)


def test_restart_sends_nothing_until_a_new_pose_is_there():
    arm = PoseArm()
    arm.at([0, 0, 1])
    arm.send(FORWARD)
    arm.output.restart()
    arm.pose = None
    assert arm.send(FORWARD, dt_ns=60_000 * MS) is None
    assert arm.output.fault(arm.now) != ""
    arm.at([0.02, 0, 1])
    np.testing.assert_allclose(arm.send(FORWARD)[0], 0.0225 + 0.0025)


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


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.lists(st.floats(-1.7, 1.7), min_size=3, max_size=3))
def test_the_turn_between_two_orientations_leads_from_one_to_the_other(begin, rotation):
    start = rotated(LEVEL, np.array(begin))
    end = rotated(start, np.array(rotation))
    for same in (end, -end):
        np.testing.assert_allclose(turn_between(start, same), rotation, atol=1e-7)


SPEEDS = st.lists(st.floats(-1, 1), min_size=3, max_size=3)
POSES = st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3)
TURNS = st.lists(st.floats(-2, 2), min_size=3, max_size=3)
COMMANDS = st.tuples(SPEEDS, SPEEDS, st.integers(0, 400), POSES, TURNS, st.integers(0, 500))


@given(st.lists(COMMANDS, min_size=1, max_size=30))
def test_no_course_of_commands_and_poses_moves_a_pose_target_faster_than_the_contract_allows(commands):
    arm, last = PoseArm(speed=0.25, turning=1.0, pose_lead_m=0.03, pose_lead_rad=0.2), None
    for linear, angular, dt_ms, position, turn, age_ms in commands:
        arm.at(position, rotated(LEVEL, np.array(turn)))
        target = arm.send([*linear, *(3 * w for w in angular)], dt_ms * MS, age_ms * MS)
        if target is None:
            assert last is None and age_ms > 100
            continue
        assert np.all(np.isfinite(target)) and np.linalg.norm(target[3:]) == pytest.approx(1.0, abs=1e-9)
        dt_s = min(dt_ms * 1e-3, 0.1)
        if last is not None:
            assert np.linalg.norm(target[:3] - last[:3]) <= 0.25 * dt_s + 1e-9
            assert angle_between(target[3:], last[3:]) <= 1.0 * dt_s + 1e-7
        last = target


@given(st.lists(COMMANDS, min_size=1, max_size=30))
def test_no_course_of_commands_leads_a_pose_target_away_from_an_arm_that_stands_still(commands):
    arm = PoseArm(pose_lead_m=0.03, pose_lead_rad=0.2)
    arm.at([0, 0, 0])
    arm.send(REST)
    for linear, angular, dt_ms, _, _, age_ms in commands:
        target = arm.send([*linear, *angular], dt_ms * MS, age_ms * MS)
        assert np.linalg.norm(target[:3]) <= 0.03 + 1e-6 and angle_between(target[3:], LEVEL) <= 0.2 + 1e-6


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
        self.model = Arm(URDF.read_text(), "panda_link0", "panda_link8", self.output.joints, "panda.urdf")
        self.now = 10_000 * MS

    def at(self, positions=READY, age_ns=0, position=READY_POSITION) -> None:
        self.output.on_joints(None if positions is None else np.array(positions), "", self.now - age_ns)
        self.output.on_pose(np.array(position), LEVEL, self.now)

    def send(self, twist, dt_ns=PERIOD, heard=True, age_ns=0) -> np.ndarray | None:
        self.now += dt_ns
        if heard:
            self.output.on_joints(self.measured, "", self.now - age_ns)
            self.output.on_pose(self.model.at(self.measured).position, LEVEL, self.now)
        return self.output.command(np.array(twist), self.now)

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
    path = np.array([arm.model.at(target).position for target in targets]) - READY_POSITION
    np.testing.assert_allclose(path, [[0.005, 0, 0], [0.010, 0, 0], [0.015, 0, 0], [0.020, 0, 0]], atol=2e-4)


JOINTS = st.lists(st.floats(-0.2, 0.2), min_size=7, max_size=7)
JOINT_COMMANDS = st.tuples(SPEEDS, SPEEDS, st.integers(0, 400), JOINTS, st.integers(0, 200))


@settings(max_examples=50, deadline=None)
@given(st.lists(JOINT_COMMANDS, max_size=30))
def test_no_course_of_commands_and_joints_moves_a_joint_target_beyond_speed_or_position_limits(commands):
    arm, last = JointArm("joint_position", joint_lead_rad=0.1, joint_state_max_age_s=0.15), None
    for linear, angular, dt_ms, moved, age_ms in commands:
        arm.measured = READY + np.array(moved)
        target = arm.send([*linear, *(3 * w for w in angular)], dt_ms * MS, age_ns=age_ms * MS)
        if target is None:
            assert last is None and age_ms > 100
            continue
        assert np.all(target >= arm.model.lower + 0.05 - 1e-9) and np.all(target <= arm.model.upper - 0.05 + 1e-9)
        if last is not None:
            assert np.all(np.abs(target - last) <= 0.8 * arm.model.speed * min(dt_ms * 1e-3, 0.1) + 1e-9)
        last = target


def test_a_joint_target_stops_at_the_lead_in_the_direction_of_the_command():
    arm = JointArm("joint_position", joint_lead_rad=0.03)
    targets = np.array([arm.send([0.3, 0, 0, 0, 0, 0]) for _ in range(30)])
    assert np.max(np.abs(targets - READY)) == pytest.approx(0.03)
    np.testing.assert_array_equal(targets[-1], targets[-5])
    moved = arm.model.at(targets[-1]).position - READY_POSITION
    assert moved[0] > 0.005 and np.max(np.abs(moved[1:])) < 0.05 * moved[0]
    assert any(name.startswith("slowed joint_lead.panda_joint") for name in arm.output.summary())
    assert arm.output.summary()["speed_share"] == "0.000"
    # HOLD leaves it there, and back is free
    np.testing.assert_array_equal(arm.send(REST), targets[-1])
    back = arm.model.at(arm.send([-0.1, 0, 0, 0, 0, 0])).position - arm.model.at(targets[-1]).position
    assert back[0] == pytest.approx(-0.005, rel=0.05)


def test_joints_that_follow_late_never_draw_their_target_back():
    arm = JointArm("joint_position")
    path = [READY]
    for tick in range(12):
        arm.measured = path[max(0, len(path) - 4)]  # 150 ms behind
        path.append(arm.send([0.3 if tick < 8 else 0.0, 0, 0, 0, 0, 0]))
    steps = np.diff(path, axis=0)
    assert np.all(steps[:8] @ steps[0] > 0) and not np.any(steps[8:])


def test_targets_of_joints_that_were_pushed_away_come_back_into_the_lead_at_the_share_of_the_urdfs_speed():
    arm = JointArm("joint_position", joint_lead_rad=0.1, joint_state_max_age_s=0.3)
    arm.send(REST)
    arm.measured = READY + np.array([0.3, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(arm.send(REST, age_ns=101 * MS), READY)  # an old state says nothing
    targets = [arm.send(REST)[0] for _ in range(4)]
    # 0.8 of 2.175 rad/s for 0.05 s
    np.testing.assert_allclose(targets, [0.087, 0.174, 0.2, 0.2], atol=1e-9)


def test_joint_targets_begin_at_a_state_of_at_most_two_periods():
    arm = JointArm("joint_position", joint_state_max_age_s=1.0)
    assert arm.send(FORWARD, age_ns=101 * MS) is None
    assert "joint state is 0.101 s old, a target begins at one of at most 0.1 s" in arm.output.fault(arm.now)
    assert arm.send(FORWARD, age_ns=100 * MS) is not None


@pytest.mark.parametrize(("output", "safe"), [("joint_velocity", [0.0] * 7), ("joint_position", None)])
def test_restart_forgets_joints_and_target(output, safe):
    arm = JointArm(output)
    arm.send(FORWARD)
    arm.output.restart()
    sent = arm.send(FORWARD, dt_ns=60_000 * MS, heard=False)
    assert safe == (None if sent is None else sent.tolist())
    assert "no joint state with ['panda_joint1'" in arm.output.fault(arm.now)
    arm.measured = READY + 0.01
    arm.send(REST)
    assert arm.output.fault(arm.now) == ""
    if output == "joint_position":
        np.testing.assert_array_equal(arm.send(REST), READY + 0.01)


def test_a_joint_target_at_rest_stays():
    arm = JointArm("joint_trajectory")
    arm.at()
    first = arm.send(REST)
    arm.measured = READY - 0.01
    np.testing.assert_array_equal(arm.send(REST), first)


def test_a_joint_that_stands_beyond_its_margin_is_not_pulled_back():
    arm = JointArm("joint_position")
    beyond = READY.copy()
    beyond[6] = 2.89  # limit 2.8973, margin 0.05
    arm.measured = beyond
    arm.at(beyond)
    np.testing.assert_array_equal(arm.send(REST), beyond)


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
    for broken, fault in (
        ("<robot", "is not XML"),
        (URDF.read_text().replace('name="panda_joint3"', ""), "'panda_link2' to 'panda_link3' has no name"),
        (URDF.read_text().replace('link="panda_link3"', ""), "does not hang on"),
        ("\0", "is not XML"),
    ):
        arm.output.on_description(broken)
        assert fault in arm.output.fault(arm.now)
        np.testing.assert_array_equal(arm.send(FORWARD), np.zeros(7))
    arm.output.on_description(URDF.read_text())
    assert arm.output.fault(arm.now) == ""
    arm.output.on_description("<robot")
    assert arm.output.fault(arm.now) == ""


QUOTED = re.findall(r'"[^"]*"', URDF.read_text())
HOSTILE = ["", "nan", "-inf", "1e400", "1e308", "1e308 1e308 1e308", "0 0 0", "-1", "fixed", "prismatic", "panda_link8"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(QUOTED) - 1), st.sampled_from(HOSTILE)), min_size=1, max_size=4))
def test_no_description_is_more_than_a_fault(changes):
    pieces = re.split(r'"[^"]*"', URDF.read_text())
    quoted = list(QUOTED)
    for index, text in changes:
        quoted[index] = f'"{text}"'
    arm = JointArm("joint_velocity", urdf_file="")
    arm.output.on_description(pieces[0] + "".join(a + b for a, b in zip(quoted, pieces[1:], strict=True)))
    sent = arm.send(FORWARD)
    assert np.all(np.isfinite(sent)) and (not arm.output.fault(arm.now) or not np.any(sent))


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


def test_a_urdf_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "arm.urdf"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        JointArm("joint_velocity", urdf_file=str(file))


def test_without_a_pose_the_kinematics_cannot_be_compared():
    arm = JointArm("joint_velocity")
    arm.output.on_joints(READY, "", arm.now)
    assert arm.output.fault(arm.now) == "no end-effector pose to compare the kinematics with"


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
