"""Streams that stay the same while the arm moves."""

import numpy as np
import pytest
from small_contract import contract_data

from apo_core.content_watch import ContentWatch
from apo_core.contract.contract import contract_from_dict
from apo_core.types import Observation

STATE = contract_data()["state"]
JOINTS = {
    "topic": "joint_states",
    "type": "sensor_msgs/msg/JointState",
    "field": "position",
    "joints": [f"joint_{number}" for number in range(7)],
    "size": 7,
    "unit": "rad",
}
GOAL = {"topic": "goal", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"}
CONTRACT = contract_from_dict(contract_data(state={**STATE, "joints": JOINTS, "goal": GOAL}), "small_contract")
OPEN, CLOSE = -1.0, 1.0
MOVING = np.array([0.1, 0, 0, 0, 0, 0, OPEN], np.float32)


class Robot:
    """An arm at 10 Hz that moves 10 mm in each observation along x, and turns its joints by 0.02 rad."""

    def __init__(self, **options):
        self.watch = ContentWatch(CONTRACT, **options)
        self.step = -1
        self.command = MOVING

    def picture(self, seed):
        return np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)

    def observe(self, picture=None, pose=None, joints=None, width=None):
        """An observation and its command; a number stands for the content of that step, None for that of now."""
        self.step += 1
        at = lambda step: self.step if step is None else step  # noqa: E731
        image = picture if isinstance(picture, np.ndarray) else self.picture(at(picture))
        state = {
            "ee_pose": np.array([0.01 * at(pose), 0, 0.5, 0, 0, 0, 1], np.float32),
            "joints": np.full(7, 0.02 * at(joints), np.float32),
            "width": np.array([0.001 * at(width)], np.float32),
            "goal": np.array([0.5, 0, 0, 0, 0, 0, 1], np.float32),
        }
        self.watch.add(Observation(self.step * CONTRACT.period_ns, {"front": image}, state, ""))
        self.watch.command(self.command)

    def run(self, steps, **content):
        for _ in range(steps):
            self.observe(**content)
        return self.watch.faults()


def test_content_that_changes_is_no_fault():
    assert Robot().run(300) == []


def test_a_frozen_camera_is_named_with_its_topic_and_the_arm_s_way():
    robot = Robot()
    assert robot.run(10, picture=0) == []
    assert robot.run(21, picture=0) == [
        "topic front/image_raw ('front'): for 31 observations it shows the same picture while the arm moved 0.30 m"
    ]
    (frozen,) = robot.watch.frozen()
    assert (frozen.name, frozen.first, frozen.last) == ("front", 0, 30)
    assert robot.run(1) == []


def test_a_camera_that_repeats_its_last_pictures_is_frozen():
    robot = Robot()
    robot.run(8)
    for step in range(40):
        robot.observe(picture=step % 8)
    assert robot.watch.faults() == [
        "topic front/image_raw ('front'): for 41 observations it repeats its last 8 pictures while the arm moved 0.40 m"
    ]


@pytest.mark.parametrize(("value", "what"), [(0, "black"), (255, "255 in every pixel")])
def test_a_uniform_picture_is_named_as_such(value, what):
    (fault,) = Robot().run(20, picture=np.full((4, 6, 3), value, np.uint8))
    assert f"shows a picture that is {what} while the arm moved 0.19 m" in fault


def test_a_still_scene_before_a_still_arm_is_no_fault():
    robot = Robot()
    robot.command = np.zeros(7, np.float32)
    assert robot.run(500, picture=0, pose=0, joints=0, width=0) == []


def test_an_arm_that_moves_less_than_the_threshold_may_leave_the_picture():
    robot = Robot()
    robot.command = np.zeros(7, np.float32)
    for step in range(100):
        robot.observe(picture=0, pose=step % 5, joints=step % 5)
    assert robot.watch.faults() == []
    assert Robot(moved_m=0.5).run(40, picture=0) == []
    assert Robot(moved_m=0.0).run(200, picture=0, pose=0) == []


def test_a_turn_of_the_hand_counts_as_motion():
    watch, picture = ContentWatch(CONTRACT), Robot().picture(0)
    for step in range(12):
        half = 0.02 * step
        pose = np.array([0, 0, 0.5, 0, 0, np.sin(half), np.cos(half)], np.float32)
        state = {"ee_pose": pose, "joints": np.full(7, 1e-4 * step, np.float32), "width": np.zeros(1, np.float32)}
        watch.add_parts(step * CONTRACT.period_ns, {"front": picture}, state)
    (frozen,) = watch.frozen()
    assert frozen.text == "shows the same picture while the arm moved 0.44 rad"


def test_a_pose_that_stays_while_joints_or_commands_move_is_frozen():
    (fault,) = Robot().run(40, pose=0)
    assert fault == "topic ee_pose ('ee_pose'): for 40 observations it has not changed while the arm moved 0.78 rad"
    faults = Robot().run(40, pose=0, joints=0, picture=0)
    assert faults == [
        "topic ee_pose ('ee_pose'): for 40 observations it has not changed while the commands move it 0.39 m",
        "topic joint_states ('joints'): for 40 observations it has not changed while the commands move it 0.39 m",
    ]


def test_joints_that_stay_while_the_pose_moves_are_frozen():
    (fault,) = Robot().run(40, joints=0)
    assert fault.startswith("topic joint_states ('joints'): for 40 observations it has not changed while the arm moved")


def gripper_held(robot, seconds, gripper, **content):
    robot.command = np.array([*MOVING[:6], gripper], np.float32)
    return robot.run(seconds * 10, **content)


def test_a_gripper_that_stays_while_it_is_opened_and_closed_is_frozen():
    robot = Robot()
    assert gripper_held(robot, 2, OPEN, width=0) == []
    assert gripper_held(robot, 1, CLOSE, width=0) == []
    (fault,) = gripper_held(robot, 2, CLOSE, width=0)
    what = "has not changed while the gripper was commanded to"
    assert fault == f"topic gripper/joint_states ('width'): for 50 observations it {what}"
    assert robot.run(1) == []


def test_a_gripper_that_reaches_its_end_and_stays_there_is_no_fault():
    robot = Robot()
    gripper_held(robot, 2, OPEN, width=0)
    gripper_held(robot, 1, CLOSE)
    assert gripper_held(robot, 10, CLOSE, width=30) == []
    assert gripper_held(robot, 1, OPEN) == []


def test_an_episode_that_begins_anew_forgets_the_one_before():
    robot = Robot()
    assert robot.run(30, picture=0)
    robot.step = 300
    robot.observe(picture=0)
    assert robot.watch.faults() == []


def test_values_that_are_not_finite_are_no_motion_and_raise_nothing():
    robot = Robot()
    robot.command = np.full(7, np.nan, np.float32)
    assert robot.run(20, pose=np.nan, joints=np.nan, picture=0) == []


def test_values_that_are_not_finite_are_not_called_frozen():
    robot = Robot()
    for step in range(40):
        robot.observe(joints=np.nan if step > 5 else None)
    assert robot.watch.faults() == []
