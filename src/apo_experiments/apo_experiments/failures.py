"""Why a trial did not succeed, from ground truth: which kinds of failure a policy has, and how many of each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from apo_core.actions import GRIPPER
from apo_core.tasks.course import current_part, scene_of
from apo_core.tasks.scene import YAW_TOLERANCE, ExpertInput, Scene
from apo_core.tasks.subtasks import GraspTask
from apo_core.tasks.task_spec import TaskSpec


class FailureKind(StrEnum):
    """What went wrong in the part of the task that was not done, by its object and where the fingers last closed."""

    UNDONE = "undid a part that was done"
    NOT_PUSHED = "did not push the lid shut"
    UNFINISHED = "held the object, did not finish"
    LOST = "grasped the object and lost it"
    NEVER_CLOSED = "never closed the fingers"
    BESIDE = "closed beside or above the object"
    TURNED = "closed at a wrong yaw"
    NOT_GRASPED = "closed at the object without grasping it"


@dataclass(frozen=True, slots=True)
class Instant:
    """One control step as the classification sees it."""

    distance_m: float  # from the hand to where the object is grasped, or the lid pushed
    yaw_rad: float  # turn that would put the fingers across the object, or along the hinge
    held: bool
    closing: bool  # the policy commands closed fingers
    part: int = 0  # index of the first part of the task that is not done


def instant(spec: TaskSpec, state: ExpertInput, action: np.ndarray) -> Instant:
    """The step in which `action` (7,) was commanded at `state`."""
    part = current_part(spec.parts, state)
    scene = scene_of(spec.parts[part], state)
    way, yaw = (scene.to_grasp, scene.grasp_yaw) if isinstance(scene, Scene) else (scene.way, scene.hand_turn)
    return Instant(float(np.linalg.norm(way)), float(yaw), scene.held, bool(action[GRIPPER] > 0.0), part)


def failure_kind(spec: TaskSpec, steps: Sequence[Instant]) -> FailureKind:
    """Kind of a trial that did not succeed.

    Args:
        spec: its task.
        steps: all of its steps, at least one.
    """
    part = steps[-1].part
    task = spec.parts[part]
    if any(step.part > part for step in steps):
        return FailureKind.UNDONE
    if not isinstance(task, GraspTask):
        return FailureKind.NOT_PUSHED
    steps = [step for step in steps if step.part == part]
    if steps[-1].held:
        return FailureKind.UNFINISHED
    if any(step.held for step in steps):
        return FailureKind.LOST
    closings = [i for i, step in enumerate(steps) if step.closing and (i == 0 or not steps[i - 1].closing)]
    if not closings:
        return FailureKind.NEVER_CLOSED
    last = steps[closings[-1]]
    if last.distance_m > task.reach_tolerance:
        return FailureKind.BESIDE
    return FailureKind.TURNED if abs(last.yaw_rad) > 2 * YAW_TOLERANCE else FailureKind.NOT_GRASPED


def count_text(kinds: Iterable[FailureKind]) -> str:
    """`failures: 5 closed at a wrong yaw, 2 never closed the fingers`, the most frequent first; "" without any."""
    counts = Counter(kinds)
    return f"failures: {', '.join(f'{n} {kind}' for kind, n in counts.most_common())}" if counts else ""
