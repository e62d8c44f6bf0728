"""Joint motion of the Panda: as wanted, or slowed in its direction by what is in the way."""

import numpy as np
import pytest
from arm_samples import READY, panda_arm, planar_arm
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")

from apo_core.errors import ConfigError
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.kinematics import Arm
from apo_teleop.outputs.twist_solver import TwistSolver

CONFIG = OutputConfig(output="joint_velocity", base_link="panda_link0", tip_link="panda_link8")


def panda() -> tuple[Arm, TwistSolver]:
    arm = panda_arm()
    return arm, TwistSolver(arm, CONFIG)


def test_an_arm_with_too_few_joints_is_rejected():
    with pytest.raises(ConfigError, match="the arm has 3 joints"):
        TwistSolver(planar_arm(), CONFIG)


def test_the_tip_moves_as_wanted():
    arm, solver = panda()
    twist = np.array([0.1, -0.05, 0.02, 0.1, 0.2, -0.3])
    motion = solver.solve(READY, twist)
    np.testing.assert_allclose(arm.at(READY).jacobian @ motion.velocity, twist, atol=1e-12)
    assert (motion.scale, motion.limits) == (1.0, ())


def test_no_twist_is_no_motion():
    motion = panda()[1].solve(READY, np.zeros(6))
    assert motion.velocity.tolist() == [0.0] * 7 and motion.scale == 1.0


def test_too_fast_is_slowed_and_keeps_its_direction():
    arm, solver = panda()
    twist = np.array([0.0, 3.0, 0.0, 0.0, 0.0, 0.0])
    motion = solver.solve(READY, twist)
    assert motion.limits and all(name.startswith("joint_speed.panda_joint") for name in motion.limits)
    np.testing.assert_allclose(arm.at(READY).jacobian @ motion.velocity, motion.scale * twist, atol=1e-9)
    assert np.max(np.abs(motion.velocity) / arm.speed) == pytest.approx(0.8)


def test_a_joint_stops_at_its_limit_and_may_go_back():
    arm, solver = panda()
    at_limit = READY.copy()
    at_limit[5] = arm.upper[5] - CONFIG.joint_limit_margin_rad
    outward = arm.at(at_limit).jacobian @ np.eye(7)[5] * 0.2
    stopped, back = solver.solve(at_limit, outward), solver.solve(at_limit, -outward)
    assert stopped.scale == pytest.approx(0.0, abs=1e-9) and "joint_position.panda_joint6" in stopped.limits
    assert back.scale == 1.0 and back.velocity[5] < 0


def test_motion_into_a_singularity_ends_and_out_of_it_goes_on():
    arm, solver = panda()

    def smallest(elbow: float) -> float:
        posture = np.array([0.0, 0.3, 0.0, elbow, 0.0, 1.9, 0.7])
        return np.linalg.svd(arm.at(posture).jacobian, compute_uv=False)[-1]

    # the arm is straight from shoulder to wrist at -0.467 rad or so (elbow flip of the data sheet)
    assert CONFIG.singularity_slow > smallest(-0.7) > smallest(-0.6) > smallest(-0.47)
    near = np.array([0.0, 0.3, 0.0, -0.7, 0.0, 1.9, 0.7])
    twist = arm.at(near).jacobian @ np.eye(7)[3] * 0.05
    into, out = solver.solve(near, twist), solver.solve(near, -twist)
    assert into.limits == ("singularity",)
    assert into.scale == pytest.approx((smallest(-0.7) - 0.02) / (0.08 - 0.02))
    assert (out.scale, out.limits) == (1.0, ())


def test_stretched_out_it_stays_finite_and_slow():
    arm, solver = panda()
    stretched = np.array([0.0, 0.5, 0.0, -0.12, 0.0, 2.0, 0.7])
    for axis in np.eye(6):
        motion = solver.solve(stretched, axis)
        assert np.all(np.abs(motion.velocity) <= 0.8 * arm.speed + 1e-9)


@settings(max_examples=200)
@given(
    shares=st.lists(st.floats(-0.05, 1.05), min_size=7, max_size=7),
    twist=st.lists(st.floats(-20, 20), min_size=6, max_size=6),
)
def test_no_posture_and_no_twist_leads_beyond_a_limit(shares, twist):
    arm, solver = panda()
    q = arm.lower + np.array(shares) * (arm.upper - arm.lower)
    motion = solver.solve(q, np.array(twist))
    assert np.all(np.isfinite(motion.velocity)) and 0.0 <= motion.scale <= 1.0
    assert np.all(np.abs(motion.velocity) <= 0.8 * arm.speed + 1e-8)
    ahead = q + motion.velocity * CONFIG.joint_limit_brake_s
    assert np.all((ahead <= solver.upper + 1e-8) | (motion.velocity <= 1e-8))
    assert np.all((ahead >= solver.lower - 1e-8) | (motion.velocity >= -1e-8))
