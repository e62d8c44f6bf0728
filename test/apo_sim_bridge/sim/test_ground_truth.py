"""The path left to success in a frame of the simulation."""

import numpy as np
import pytest

from apo_core.tasks.course import progress
from apo_sim_bridge.sim.env import SimFrame
from apo_sim_bridge.sim.ground_truth import expert_input, task_remaining, task_stages

CUBE = np.array([0.1, 0.0, 0.83, 0.0, 0.0, 0.0, 1.0])
FRAME = SimFrame(
    images={},
    joint_names=(),
    joint_positions=np.zeros(7),
    joint_velocities=np.zeros(7),
    ee_position=np.array([0.0, 0.0, 1.0]),
    ee_quaternion=np.array([1.0, 0.0, 0.0, 0.0]),
    gripper_width=0.08,
    objects={"cube": CUBE},
    success=False,
    truncated=False,
    step=0,
)


def test_expert_input_has_hand_and_objects():
    seen = expert_input(FRAME)
    assert seen.ee_position is FRAME.ee_position and seen.gripper_width == 0.08
    assert seen.objects == {"cube": CUBE}


def test_path_left_is_the_progress_of_the_expert():
    assert task_remaining("Lift", FRAME) == progress("Lift", expert_input(FRAME)) > 0.0


def test_unknown_task_is_an_error():
    with pytest.raises(ValueError, match="task = 'Wipe' is not one of"):
        task_remaining("Wipe", FRAME)


def test_stages_are_those_of_the_frame():
    assert task_stages("Lift", FRAME) == {"grasped": False, "lifted": False}
