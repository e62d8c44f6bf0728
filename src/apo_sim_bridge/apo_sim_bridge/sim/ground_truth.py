"""What the simulator shows of a task beside the robot's sensors: the expert's input and the path left to success."""

from __future__ import annotations

from apo_core.tasks.expert import ExpertInput, progress
from apo_sim_bridge.sim.env import SimFrame


def expert_input(frame: SimFrame) -> ExpertInput:
    """The part of a frame that experts use."""
    return ExpertInput(frame.ee_position, frame.ee_quaternion, frame.gripper_width, frame.objects)


def task_remaining(task: str, frame: SimFrame) -> float:
    """Path left to success in a frame [m]. Raises ValueError for an unknown task."""
    return progress(task, expert_input(frame))
