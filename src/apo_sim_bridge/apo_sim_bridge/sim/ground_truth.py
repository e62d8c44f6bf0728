"""What the simulator shows of a task beside the robot's sensors: the expert's input, path left and stages reached."""

from __future__ import annotations

from apo_core.tasks.course import progress, stages
from apo_core.tasks.scene import ExpertInput
from apo_sim_bridge.sim.env import SimFrame


def expert_input(frame: SimFrame) -> ExpertInput:
    """The part of a frame that experts use."""
    return ExpertInput(frame.ee_position, frame.ee_quaternion, frame.gripper_width, frame.objects)


def task_remaining(task: str, frame: SimFrame) -> float:
    """Path left to success in a frame [m]. Raises ValueError for an unknown task."""
    return progress(task, expert_input(frame))


def task_stages(task: str, frame: SimFrame) -> dict[str, bool]:
    """Whether each stage is reached in a frame, in their order. Raises ValueError for an unknown task."""
    return stages(task, expert_input(frame))
