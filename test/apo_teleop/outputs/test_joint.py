"""Joint outputs over sequences of commands; the arm is the Panda of test_kinematics."""

import dataclasses
import re
from math import pi
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apo_core.contract.contract import Contract, load_contract
from apo_core.contract.specs import StateSpec
from apo_core.errors import ConfigError
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.factory import make_output
from apo_teleop.outputs.kinematics import Arm

ROOT = Path(__file__).parents[3]
URDF = ROOT / "test" / "data" / "urdf" / "panda.urdf"
CONTRACT = load_contract(ROOT / "config" / "contract.yaml")  # 20 Hz
MS = 1_000_000
PERIOD = 50 * MS
READY = np.array([0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4])
READY_POSITION = np.array([0.306891, 0.0, 0.590282])
FORWARD = np.array([0.1, 0, 0, 0, 0, 0])
LEVEL = np.array([0.0, 0.0, 0.0, 1.0])
REST = np.zeros(6)
SPEEDS = st.lists(st.floats(-1, 1), min_size=3, max_size=3)


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

    def send(self, twist, dt_ns=PERIOD, reports=True, age_ns=0) -> np.ndarray | None:
        self.now += dt_ns
        if reports:
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


@settings(max_examples=50)
@given(st.lists(JOINT_COMMANDS, max_size=30))
def test_joint_targets_stay_within_speed_and_position_limits(commands):
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
    assert arm.output.share == 1.0  # an arm that is held back does not follow: no limit of its own is in the way
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


def test_targets_of_displaced_joints_return_at_the_urdfs_speed_share():
    arm = JointArm("joint_position", joint_lead_rad=0.1, joint_state_max_age_s=0.3)
    arm.send(REST)
    arm.measured = READY + np.array([0.3, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(arm.send(REST, age_ns=101 * MS), READY)  # an old state does not count
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
    sent = arm.send(FORWARD, dt_ns=60_000 * MS, reports=False)
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
        (lambda arm: arm.at(age_ns=-200 * MS), "joint state is 0.200 s ahead, joint_state_max_age_s = 0.1"),
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
    still = arm.send(FORWARD, dt_ns=0, reports=False)
    np.testing.assert_array_equal(still, np.zeros(7) if output == "joint_velocity" else last)
    arm.at()
    assert arm.output.fault(arm.now) == ""


@pytest.mark.parametrize(("output", "safe"), [("joint_velocity", [0.0] * 7), ("joint_position", None)])
def test_before_the_first_joint_state_only_zero_velocity_is_sent(output, safe):
    arm = JointArm(output)
    assert "no joint state with ['panda_joint1'" in arm.output.fault(arm.now)
    sent = arm.send(FORWARD, reports=False)
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


@settings(max_examples=60)
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
    summary = arm.output.summary()
    assert float(summary["speed_share"]) < 1.0
    assert summary["speed_share"] == f"{arm.output.share:.3f}"
    assert summary["slowed joint_speed.panda_joint1"] == "1"


def test_a_urdf_that_cannot_be_read_is_rejected():
    with pytest.raises(ConfigError, match=r"urdf_file = '/nowhere\.urdf' cannot be read"):
        JointArm("joint_velocity", urdf_file="/nowhere.urdf")


def test_a_urdf_that_is_no_text_is_rejected(tmp_path):
    file = tmp_path / "arm.urdf"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        JointArm("joint_velocity", urdf_file=str(file))


def test_without_a_pose_the_kinematics_cannot_be_compared():
    arm = JointArm("joint_velocity")
    arm.output.on_joints(READY, "", arm.now)
    assert arm.output.fault(arm.now) == "no end-effector pose to compare the kinematics with"


def test_a_contract_without_joints_is_rejected():
    with pytest.raises(ConfigError, match="joint_position with field: position is missing"):
        make_output(
            OutputConfig(output="joint_velocity", base_link="a", tip_link="b"),
            dataclasses.replace(CONTRACT, state=(CONTRACT.state_spec("ee_pose"),)),
        )
