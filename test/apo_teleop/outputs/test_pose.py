"""Pose targets over sequences of commands and poses."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.contract.contract import load_contract
from apo_core.rotations import rotated, turn_between
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.pose import PoseOutput

ROOT = Path(__file__).parents[3]
CONTRACT = load_contract(ROOT / "config" / "contract.yaml")  # 20 Hz
MS = 1_000_000
PERIOD = 50 * MS
FORWARD = np.array([0.1, 0, 0, 0, 0, 0])
LEVEL = np.array([0.0, 0.0, 0.0, 1.0])
REST = np.zeros(6)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(turn_between(a, b)))


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
    for no_position in ([np.nan, 0, 0], [1e308, 0, 0]):
        arm.at(no_position)
        assert arm.send(FORWARD) is None
    for no_rotation in ([0, 0, 0, 0], [0, 0, 0, 7], [1e200, 0, 0, 0]):
        arm.at([0, 0, 0], no_rotation)
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


def test_a_pose_from_before_time_was_set_back_is_a_fault():
    arm = PoseArm()
    arm.at([0, 0, 1])
    arm.send(FORWARD)
    assert arm.output.fault(arm.now - 500 * MS) == ""
    fault = arm.output.fault(arm.now - 501 * MS)
    assert fault == f"end-effector pose is 0.501 s ahead, max_age_s = 0.5 in {CONTRACT.source}"


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


def test_a_command_above_the_contracts_speed_moves_at_that_speed():
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


def test_with_a_still_pose_the_target_stops_at_the_lead_and_stays():
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


def test_the_target_of_a_displaced_arm_returns_at_the_contracts_speed():
    arm = PoseArm(speed=0.25, turning=1.0, pose_lead_m=0.05, pose_lead_rad=0.3)
    arm.at([0, 0, 1])
    arm.send(REST)
    pushed = rotated(LEVEL, np.array([0, 0, 0.4]))
    arm.at([0.08, 0, 1], pushed)
    held = arm.send(REST, age_ns=101 * MS)  # an old pose does not count
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


SPEEDS = st.lists(st.floats(-1, 1), min_size=3, max_size=3)
POSES = st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3)
TURNS = st.lists(st.floats(-2, 2), min_size=3, max_size=3)
COMMANDS = st.tuples(SPEEDS, SPEEDS, st.integers(0, 400), POSES, TURNS, st.integers(0, 500))


@given(st.lists(COMMANDS, min_size=1, max_size=30))
def test_pose_targets_stay_within_the_contracts_speed(commands):
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
def test_pose_targets_stay_within_the_lead_of_a_still_arm(commands):
    arm = PoseArm(pose_lead_m=0.03, pose_lead_rad=0.2)
    arm.at([0, 0, 0])
    arm.send(REST)
    for linear, angular, dt_ms, _, _, age_ms in commands:
        target = arm.send([*linear, *angular], dt_ms * MS, age_ms * MS)
        assert np.linalg.norm(target[:3]) <= 0.03 + 1e-6 and angle_between(target[3:], LEVEL) <= 0.2 + 1e-6
