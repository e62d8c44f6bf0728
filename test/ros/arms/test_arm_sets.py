"""Each set of config/arms, as `./apo up --arm` starts it, drives a simulated driver with the arm's own topics."""

import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import yaml

pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")

from arm_chains import FR3, GAZEBO, PANDA_JOINTS, PANDA_LINKS, UR5E, XARM7, Chain
from arm_driver import Driver, Interpolated, Physical
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from apo_bringup.stack import nodes
from apo_bringup.stack.arms import ARMS, ArmSet, arm_set
from apo_bringup.stack.options import chosen_paths, start_parameters
from apo_core.contract.contract import load_contract
from apo_teleop.outputs.kinematics import Arm

SPEED_SHARE = 0.3  # joint_speed_share of every set
# on a busy machine inputs may pause; a test of their age sets its own
PATIENT = {"operator_stale_s": 10.0, "joint_state_max_age_s": 3.0}


def chain_driver(chain: Chain, joint_topic: str, command_topic: str, gripper: str, **more) -> Driver:
    kinematics = Arm(chain.urdf, *chain.links, chain.joints, "arm_chains.py")
    motion = Interpolated(chain, (gripper,))
    return Driver(
        motion, kinematics, joint_topic, command_topic, ("gripper/position", Float64MultiArray), chain.urdf, **more
    )


def gazebo_driver() -> Driver:
    kinematics = Arm((GAZEBO / "arm.urdf").read_text(), *PANDA_LINKS, PANDA_JOINTS, "arm.urdf")
    gripper = ("gripper/joint_trajectory", JointTrajectory)
    return Driver(Physical(), kinematics, "joint_states", "arm/joint_trajectory", gripper)


DRIVERS: dict[str, Callable[[], Driver]] = {
    "franka": lambda: chain_driver(
        FR3,
        "/joint_states",
        "/fr3_arm_controller/joint_trajectory",
        "fr3_finger_joint1",
        pose=("/franka_robot_state_broadcaster/current_pose", "fr3_link0"),
    ),
    "gazebo": gazebo_driver,
    "ur5e": lambda: chain_driver(
        UR5E, "/joint_states", "/scaled_joint_trajectory_controller/joint_trajectory", "robotiq_85_left_knuckle_joint"
    ),
    "xarm7": lambda: chain_driver(
        XARM7, "/xarm/joint_states", "/xarm7_traj_controller/joint_trajectory", "drive_joint"
    ),
}
OPEN_CLOSED = {"franka": (0.04, 0.0), "gazebo": (0.04, 0.0), "ur5e": (0.0, 0.79), "xarm7": (0.0, 0.85)}


@pytest.fixture
def start(ros_domain, tmp_path):
    """(arm, arbiter's parameters) -> the arbiter and the nodes that it needs, as processes."""
    processes = []

    def launch(name: str, **parameters) -> ArmSet:
        arm = arm_set(name, sim=False)
        values = {**PATIENT, **parameters}
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump({"/**/arbiter": {"ros__parameters": values}}))
        paths = chosen_paths(tmp_path, {"contract_file": arm.contract})
        entries = [e for e in arm.companions([nodes.node("arbiter")], "") if e.name != "gripper_action"]
        for entry in entries:
            given = start_parameters(entry, paths, sim=False, use_sim_time=False, device="", urdf=arm.urdf)
            command = nodes.command_line(entry, given, params_files=[arm.parameters, str(file)])
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return arm

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def driver(ros, request):
    made = DRIVERS[request.param]()
    yield made
    made.node.destroy_node()


each_arm = pytest.mark.parametrize(("name", "driver"), [(name, name) for name in ARMS], indirect=["driver"])


def ready(driver: Driver) -> None:
    """The operator at rest, the arbiter enabled, a target where the arm is."""
    driver.enable()
    driver.spin_until(lambda: driver.points, "a target")
    driver.until_rest()


@each_arm
def test_an_operator_moves_the_arm_stops_it_and_grips(name, driver, start):
    arm = start(name)
    limits, start_at = load_contract(arm.contract).limits, driver.tip
    ready(driver)
    assert np.linalg.norm(driver.target() - start_at) < 2e-3, "the arm moved before anybody drove"
    driver.values = np.array([0.08, 0, 0, 0, 0, 0, 0])
    driver.spin_until(lambda: driver.tip[0] > start_at[0] + 0.06, "motion forward")
    driver.values = np.zeros(7)
    driver.until_rest()
    moved = driver.tip - start_at
    assert 0.06 < moved[0] < 0.12 and np.max(np.abs(moved[1:])) < 0.01
    steps = np.abs(np.diff(driver.points, axis=0))
    assert np.all(steps <= SPEED_SHARE * driver.kinematics.speed * 0.1 + 1e-9)  # a pause counts as two periods
    speeds = [np.linalg.norm(c.values[:3]) for c in driver.commands]
    assert max(speeds) <= limits.linear_speed and max(speeds) == pytest.approx(0.08, abs=1e-6)
    assert not driver.rejected, driver.rejected[:1]
    opened, closed = OPEN_CLOSED[name]
    for value, place in ((1.0, closed), (-1.0, opened)):
        driver.values, expected = np.array([0, 0, 0.01, 0, 0, 0, value]), pytest.approx(place)
        driver.spin_until(lambda: driver.gripper and driver.gripper[-1][0] == expected, f"gripper at {place}")  # noqa: B023
    assert len(driver.gripper[-1]) == (2 if name == "gazebo" else 1)


@each_arm
def test_the_arm_stays_in_the_box_and_slower_than_its_limit(name, driver, start):
    arm = start(name)
    limits = load_contract(arm.contract).limits
    ready(driver)
    driver.values = np.array([0, 1.0, 0, 0, 0, 0, 0])  # beyond the limit of speed
    driver.spin_until(lambda: driver.tip[1] > limits.workspace_high[1] - 0.02, "a face of the box")
    driver.until_rest()
    # an arm that is late crosses the border, by no more than its target may be ahead: 0.15 rad at 0.5 m
    assert driver.tip[1] < limits.workspace_high[1] + 0.075
    assert max(np.linalg.norm(c.values[:3]) for c in driver.commands) <= limits.linear_speed * (1 + 1e-6)
    driver.values = np.array([0, -0.1, 0, 0, 0, 0, 0])
    driver.spin_until(lambda: driver.tip[1] < limits.workspace_high[1] - 0.05, "motion back")


@each_arm
def test_old_joint_states_hold_the_arm(name, driver, start):
    start(name, joint_state_max_age_s=0.4)
    ready(driver)
    driver.values = np.array([0.05, 0, 0, 0, 0, 0, 0])
    driver.until_source("HUMAN")
    driver.reports_joints = False
    driver.spin_until(lambda: driver.commands[-1].source == "HOLD", "the hold")
    held = len(driver.points)
    driver.spin_until(lambda: len(driver.points) > held + 5, "messages of the hold")
    assert np.ptp(driver.points[held + 2 :], axis=0).max() == 0.0
    assert driver.commands[-1].reason in ("output_blocked", "observation_stale", "operator_at_rest", "waiting")
