"""Scripted experts on ground-truth poses: for demonstrations, and as the simulated operator. Pure numpy.

Poses are in one frame with z up (the simulation's world frame); the hand's z axis points out of the fingers and its
x axis from finger to finger, as in `SimFrame`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import numpy as np

from apo_core.actions import CLOSED, OPEN, shortened_array
from apo_core.rotations import rotation_between
from apo_core.tasks.course import current_part
from apo_core.tasks.lid import LidScene
from apo_core.tasks.scene import DOWN, LINEAR_GAIN, YAW_TOLERANCE, ExpertInput, Scene
from apo_core.tasks.specs import task_spec
from apo_core.tasks.subtasks import GraspTask, PushTask, SubTask

ANGULAR_GAIN = 10.0  # 1/s
MAX_LINEAR_SPEED = 1.0  # m/s, norm
MAX_ANGULAR_SPEED = 4.0  # rad/s, norm
_CLEAR_M = 0.02  # m below the height of a retreat at which it is over
_FREE_M = 0.03  # m above the grasp from which an open hand may turn again
_INTEGRAL_RANGE_M = 0.02  # of an error that is summed up
_INTEGRAL_GAIN = 3.0  # 1/s
_INTEGRAL_LIMIT_M = 0.03
_INWARD_REACH_M = 0.66  # from the arm's base, beyond which a lifted object moves inward at once
_INWARD_SPEED = 0.15  # m/s
_PERIOD_S = 0.05  # of the control steps, for the sum of errors


class Phase(Enum):
    """What the expert is doing."""

    APPROACH = "open, rise if low, come down over the object in a cone"
    CLOSE = "close until the fingers stop on the object"
    CARRY = "lift, cross and lower the held object"
    RELEASE = "open where the object belongs"
    RETREAT = "rise; this part of the task is done"
    PUSH = "close the fingers, go behind the lid and push it"


class Expert:
    """A proportional controller with phases; start it in any state, it restarts when an object is lost.

    It carries out the parts of a task one after the other, and returns to the first one that came undone.
    """

    def __init__(self, parts: Sequence[SubTask]):
        self._parts = tuple(parts)
        self.reset()

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def part(self) -> int:
        """Index of the part that it works on."""
        return self._part

    def reset(self) -> None:
        """Drops its state; the next call decides from its input alone."""
        self._part = 0
        self._begin(Phase.APPROACH)
        self._last_width = np.inf

    def act(self, state: ExpertInput) -> np.ndarray:
        """Next action, float32 (7,): vx vy vz [m/s], wx wy wz [rad/s], gripper -1 open .. 1 close.

        Raises:
            KeyError: an object of the task is missing in `state`.
        """
        self._choose_part(state)
        task = self._parts[self._part]
        if isinstance(task, PushTask):
            return self._push(LidScene(task, state))
        scene = Scene(task, state, self._wrist_yaw)
        after = _next_phase(self._phase, self._steps, self._last_width, scene)
        if after is self._phase:
            self._steps += 1
        else:
            self._begin(after)
        self._last_width = state.gripper_width
        linear, yaw, gripper = self._command(scene)
        return _action(linear, self._angular(scene, yaw), gripper)

    def _begin(self, phase: Phase) -> None:
        self._phase, self._steps, self._still = phase, 0, 0
        self._wrist_yaw: float | None = None
        self._error_sum = np.zeros(3)

    def _choose_part(self, state: ExpertInput) -> None:
        first = current_part(self._parts, state)
        if first == self._part:
            return
        if first < self._part or self._phase in (Phase.APPROACH, Phase.PUSH) or self._is_clear(state):
            self._part = first
            self._begin(Phase.APPROACH)

    def _is_clear(self, state: ExpertInput) -> bool:
        """Whether the hand has risen far enough from what it released to go elsewhere."""
        task = self._parts[self._part]
        if self._phase is not Phase.RETREAT or not isinstance(task, GraspTask):
            return False
        scene = Scene(task, state)
        return bool(-scene.to_grasp[2] > task.grasp_hover - _CLEAR_M)

    def _command(self, scene: Scene) -> tuple[np.ndarray, float, float]:
        """Linear velocity (3,) [m/s], turn about the vertical [rad], gripper."""
        if self._phase is Phase.APPROACH:
            self._wrist_yaw = scene.hand_yaw + scene.grasp_yaw
            return self._steadied(_approach(scene), scene.to_grasp, scene)
        if self._phase is Phase.CARRY:
            return self._steadied(self._carry(scene), scene.to_place, scene)
        return _COMMANDS[self._phase](scene)

    def _steadied(
        self, command: tuple[np.ndarray, float, float], offset: np.ndarray, scene: Scene
    ) -> tuple[np.ndarray, float, float]:
        """Adds the sum of the errors near a goal, where an arm at the end of its reach stops short of it."""
        if scene.task.arm_base is None:
            return command
        if np.linalg.norm(offset[:2]) < _INTEGRAL_RANGE_M:
            way = np.array([offset[0], offset[1], np.clip(offset[2], -0.01, 0.01)])
            self._error_sum = shortened_array(self._error_sum + way * _INTEGRAL_GAIN * _PERIOD_S, _INTEGRAL_LIMIT_M)
        else:
            self._error_sum = np.zeros(3)
        linear, yaw, gripper = command
        return linear + LINEAR_GAIN * self._error_sum, yaw, gripper

    def _carry(self, scene: Scene) -> tuple[np.ndarray, float, float]:
        task = scene.task
        aside = float(np.linalg.norm(scene.to_place[:2]))
        turned = abs(scene.place_yaw) < task.place_yaw_tolerance and _is_straight(scene)
        inside = scene.place_cone.is_inside(scene.to_place)
        self._still = self._still + 1 if turned and aside < task.place_cone else 0
        waits = not inside and (not turned or self._still < task.place_steps)
        least = max(0.03, task.place_inside + 0.02) if waits else 0.0
        linear = scene.place_cone.velocity(scene.to_place, least)
        if task.arm_base is not None and aside > 0.1:
            outward = scene.state.ee_position[:2] - task.arm_base
            reach = float(np.linalg.norm(outward))
            if reach > _INWARD_REACH_M:  # a straight arm cannot lift
                linear[:2] -= _INWARD_SPEED * outward / reach
        return linear, scene.place_yaw, CLOSED

    def _angular(self, scene: Scene, yaw: float) -> np.ndarray:
        """Angular velocity (3,) [rad/s] that keeps hand or object upright and turns by `yaw` about the vertical."""
        is_around = self._phase is Phase.RETREAT and -scene.to_grasp[2] < _FREE_M
        if scene.task.arm_base is not None and (self._phase in (Phase.CLOSE, Phase.RELEASE) or is_around):
            return np.zeros(3)  # a leaning hand that straightens would push what is between the fingers
        return ANGULAR_GAIN * (self._tilt(scene) + np.array([0.0, 0.0, yaw]))

    def _tilt(self, scene: Scene) -> np.ndarray:
        if self._phase is Phase.CARRY and scene.task.is_upright:
            return rotation_between(scene.up_axis, -DOWN)
        return rotation_between(scene.approach_axis, scene.approach_goal)

    def _push(self, scene: LidScene) -> np.ndarray:
        after = Phase.RETREAT if scene.placed else Phase.PUSH
        if self._phase is not after:
            self._begin(after)
        angular = rotation_between(scene.approach_axis, scene.approach_goal) + np.array([0.0, 0.0, scene.hand_turn])
        return _action(scene.velocity(), ANGULAR_GAIN * angular, CLOSED)


def make_expert(task: str) -> Expert:
    """Raises ValueError for an unknown task."""
    return Expert(task_spec(task).parts)


def _action(linear: np.ndarray, angular: np.ndarray, gripper: float) -> np.ndarray:
    linear = shortened_array(linear, MAX_LINEAR_SPEED)
    angular = shortened_array(angular, MAX_ANGULAR_SPEED)
    return np.concatenate([linear, angular, [gripper]]).astype(np.float32)


def _is_straight(scene: Scene) -> bool:
    """Whether a carried object stands upright where it must."""
    return not scene.task.is_upright or bool(scene.up_axis[2] > np.cos(scene.task.place_yaw_tolerance))


def _next_phase(phase: Phase, steps: int, last_width: float, scene: Scene) -> Phase:
    """The phase after `steps` full steps in `phase`, the last of which ended with fingers `last_width` [m] apart."""
    task, width = scene.task, scene.state.gripper_width
    if phase is Phase.APPROACH:
        if scene.placed and not scene.held:
            return Phase.RETREAT
        return Phase.CLOSE if scene.held or (width > task.open_width and scene.at_grasp) else phase
    if phase is Phase.CLOSE:
        if steps >= 4 and scene.held and abs(width - last_width) < 5e-4:
            return Phase.CARRY
        return Phase.APPROACH if steps >= 14 else phase
    if phase is Phase.CARRY:
        if not scene.held:
            return Phase.APPROACH
        there = np.linalg.norm(scene.to_place[:2]) < task.place_tolerance and scene.to_place[2] > -0.006
        return Phase.RELEASE if task.releases and there else phase
    if phase is Phase.RELEASE:
        return Phase.RETREAT if steps >= 5 else phase
    return phase if scene.placed else Phase.APPROACH


def _approach(scene: Scene) -> tuple[np.ndarray, float, float]:
    task = scene.task
    ready = scene.state.gripper_width > task.open_width and abs(scene.grasp_yaw) < YAW_TOLERANCE
    if task.arm_base is not None:
        ready = ready and float(scene.approach_axis @ scene.approach_goal) > np.cos(YAW_TOLERANCE)
    return scene.grasp_cone.velocity(scene.to_grasp, 0.0 if ready else task.turn_height), scene.grasp_yaw, OPEN


def _close(scene: Scene) -> tuple[np.ndarray, float, float]:
    return np.zeros(3), 0.0, CLOSED


def _release(scene: Scene) -> tuple[np.ndarray, float, float]:
    return np.zeros(3), 0.0, OPEN


def _retreat(scene: Scene) -> tuple[np.ndarray, float, float]:
    climb = scene.grasp_point[2] + scene.task.grasp_hover - scene.state.ee_position[2]
    return np.array([0.0, 0.0, LINEAR_GAIN * climb]), 0.0, OPEN


# phase -> command of phases that have no state; see Expert._command
_COMMANDS: dict[Phase, Callable[[Scene], tuple[np.ndarray, float, float]]] = {
    Phase.CLOSE: _close,
    Phase.RELEASE: _release,
    Phase.RETREAT: _retreat,
}
