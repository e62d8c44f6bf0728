"""A planar arm and the Panda: against numbers worked out by hand, and against finite differences."""

import sys
from math import cos, pi, sin

import numpy as np
import pytest
from arm_samples import PLANAR, READY, panda_arm, planar_arm

pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")

from apo_core.errors import ConfigError
from apo_core.rotations import matrix_from_quaternion
from apo_teleop.outputs.kinematics import Arm


def test_planar_arm_worked_out_by_hand():
    arm = planar_arm()
    # the upper arm points along y, the rest along x: (0.4 + 0.3, 0.5)
    posture = arm.at(np.array([pi / 2, -pi / 2, 0.0]))
    np.testing.assert_allclose(posture.position, [0.7, 0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(posture.quaternion, [0, 0, 0, 1], atol=1e-12)
    # each joint turns the tip about itself: z x (tip - joint)
    np.testing.assert_allclose(
        posture.jacobian, [[-0.5, 0, 0], [0.7, 0.7, 0.3], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1]], atol=1e-12
    )
    assert arm.lower.tolist() == [-np.inf, -2.5, -2.0] and arm.upper.tolist() == [np.inf, 2.5, 2.0]
    assert arm.speed.tolist() == [1.0, 2.0, 3.0]


def test_joints_come_in_the_order_asked_for():
    arm = planar_arm("wrist", "shoulder", "elbow")
    posture = arm.at(np.array([0.0, pi / 2, -pi / 2]))
    np.testing.assert_allclose(posture.position, [0.7, 0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(posture.jacobian[1], [0.3, 0.7, 0.7], atol=1e-12)
    assert arm.speed.tolist() == [3.0, 1.0, 2.0]


def test_panda_with_all_joints_at_zero():
    posture = panda_arm().at(np.zeros(7))
    # up 0.333 + 0.316 + 0.384, out 0.088, down 0.107; the flange looks down
    np.testing.assert_allclose(posture.position, [0.088, 0.0, 0.926], atol=1e-9)
    np.testing.assert_allclose(posture.quaternion, [1, 0, 0, 0], atol=1e-9)


def test_panda_when_ready():
    posture = panda_arm().at(READY)
    # in the plane of the arm: upper arm at -45 degrees with its offset, forearm level, hand straight down
    x = -0.316 * sin(pi / 4) + 0.0825 * cos(pi / 4) + 0.384 + 0.088
    z = 0.333 + 0.316 * cos(pi / 4) + 0.0825 * sin(pi / 4) + 0.0825 - 0.107
    np.testing.assert_allclose(posture.position, [x, 0.0, z], atol=1e-9)
    np.testing.assert_allclose(posture.position, [0.306891, 0.0, 0.590282], atol=1e-6)
    np.testing.assert_allclose(posture.jacobian[:, 0], [0, x, 0, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(posture.jacobian[:, 1], [z - 0.333, 0, -x, 0, 1, 0], atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_jacobian_is_the_derivative_of_the_pose(seed):
    arm = panda_arm()
    q = np.random.default_rng(seed).uniform(arm.lower, arm.upper)
    step = 1e-6
    for i, column in enumerate(arm.at(q).jacobian.T):
        ahead, behind = arm.at(q + step * np.eye(7)[i]), arm.at(q - step * np.eye(7)[i])
        np.testing.assert_allclose(column[:3], (ahead.position - behind.position) / (2 * step), atol=1e-8)
        turn = matrix_from_quaternion(ahead.quaternion) @ matrix_from_quaternion(behind.quaternion).T
        rate = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / (4 * step)
        np.testing.assert_allclose(column[3:], rate, atol=1e-8)


@pytest.mark.parametrize(
    ("urdf", "base", "tip", "joints", "fault"),
    [
        ("<robot", "base", "tip", (), "is not XML"),
        ('<robot xmlns:xacro="x"><xacro:y></robot>', "base", "tip", (), "must go through xacro"),
        (PLANAR, "bass", "tip", (), "base_link = 'bass' is not a link of the robot; known: base, upper"),
        (PLANAR, "tip", "base", (), "tip_link = 'base' does not hang on base_link = 'tip'"),
        (PLANAR, "base", "tip", ("shoulder", "elbow"), "are \\['shoulder', 'elbow', 'wrist'\\], those of"),
        (PLANAR.replace('upper="2.5"', 'upper="-3"'), "base", "tip", ("shoulder", "elbow", "wrist"), "joint 'elbow'"),
        (PLANAR.replace('velocity="3.0"', ""), "base", "tip", ("shoulder", "elbow", "wrist"), "velocity = nan"),
        (PLANAR.replace('"continuous"', '"planar"'), "base", "tip", ("elbow", "wrist"), "of type 'planar'"),
        (
            PLANAR.replace('<axis xyz="0 0 1"/>', '<axis xyz="0 0 0"/>'),
            "base",
            "tip",
            ("shoulder", "elbow", "wrist"),
            "joint 'shoulder' from link 'base' to 'upper': axis = '0 0 0' has no direction",
        ),
        (
            PLANAR.replace('name="elbow"', ""),
            "base",
            "tip",
            ("shoulder", "wrist"),
            "from link 'upper' to 'fore' has no name",
        ),
        (
            PLANAR.replace('"elbow"', '"wrist"'),
            "base",
            "tip",
            ("shoulder", "wrist", "wrist"),
            "are \\['shoulder', 'wrist'",
        ),
        (PLANAR.replace('link="fore"', ""), "base", "tip", ("shoulder", "elbow", "wrist"), "does not hang on"),
        (
            PLANAR.replace('xyz="0.4 0 0"', 'xyz="0.4 nan 0"'),
            "base",
            "tip",
            ("shoulder", "elbow", "wrist"),
            "joint 'wrist' from link 'fore' to 'hand': origin xyz = '0.4 nan 0' must be three numbers of at most 1000",
        ),
        (PLANAR.replace('xyz="0.3 0 0"', 'xyz="0.3"'), "base", "tip", ("shoulder", "elbow", "wrist"), "joint 'flange'"),
    ],
)
def test_a_description_that_does_not_fit_is_rejected(urdf, base, tip, joints, fault):
    with pytest.raises(ConfigError, match=fault):
        Arm(urdf, base, tip, joints, "the URDF")


def test_a_chain_without_end_is_rejected():
    links = "".join(f'<link name="l{i}"/>' for i in range(200))
    joints = "".join(
        f'<joint name="j{i}" type="fixed"><parent link="l{i}"/><child link="l{i + 1}"/></joint>' for i in range(199)
    )
    with pytest.raises(ConfigError, match="more than 100 joints lie between 'l0' and 'l199'"):
        Arm(f"<robot>{links}{joints}</robot>", "l0", "l199", (), "the URDF")


def test_without_mujoco_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ConfigError, match=r"pip install -r requirements/kinematics\.in"):
        planar_arm()
