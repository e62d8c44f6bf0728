"""Scripted experts on ground-truth poses: for demonstrations, and as the simulated operator. Pure numpy.

Poses are in one frame with z up (the simulation's world frame); the hand's z axis points out of the fingers and its
x axis from finger to finger, as in `SimFrame`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from apo_core.actions import CLOSED, OPEN, shortened_array
from apo_core.rotations import matrix_from_quaternion, rotation_between, wrap_angle
from apo_core.tasks.grasp_task import GraspTask
from apo_core.tasks.specs import task_spec

LINEAR_GAIN = 14.0  # 1/s
ANGULAR_GAIN = 10.0  # 1/s
MAX_LINEAR_SPEED = 1.0  # m/s, norm
MAX_ANGULAR_SPEED = 4.0  # rad/s, norm
HOVER_HEIGHT = 0.08  # m above the object while far from it sideways
CONE_TOLERANCE = 0.006  # m sideways at which the descent may reach the goal
CONE_SLOPE = 4.0  # m of height kept above the object per m sideways beyond the tolerance
OBSTACLE_DISTANCE = 0.12  # m between the centres of two objects beyond which the fingers fit in between
NOMINAL_YAW = np.pi / 2  # rad, finger axis of the arm at rest
MAX_YAW = np.deg2rad(100)  # rad to either side of NOMINAL_YAW that the wrist reaches
YAW_TOLERANCE = 0.12  # rad
DOWN = np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True, slots=True)
class ExpertInput:
    """What an expert sees of one instant."""

    ee_position: np.ndarray  # (3,) m
    ee_quaternion: np.ndarray  # (4,) xyzw
    gripper_width: float  # m
    objects: Mapping[str, np.ndarray]  # name -> (7,) x y z [m], quaternion xyzw


class Phase(Enum):
    """What the expert is doing."""

    APPROACH = "open, rise if low, come down over the object in a cone"
    CLOSE = "close until the fingers stop on the object"
    CARRY = "lift, cross and lower the held object"
    RELEASE = "open where the object belongs"
    RETREAT = "rise with open fingers; the task is done"


class Expert:
    """A proportional controller with phases; start it in any state, it restarts when the object is lost."""

    def __init__(self, task: GraspTask):
        self._task = task
        self.reset()

    @property
    def phase(self) -> Phase:
        return self._phase

    def reset(self) -> None:
        """Drops its state; the next call decides from its input alone."""
        self._phase = Phase.APPROACH
        self._steps = 0
        self._last_width = np.inf

    def act(self, state: ExpertInput) -> np.ndarray:
        """Next action, float32 (7,): vx vy vz [m/s], wx wy wz [rad/s], gripper -1 open .. 1 close.

        Raises:
            KeyError: an object of the task is missing in `state`.
        """
        scene = Scene(self._task, state)
        after = _next_phase(self._phase, self._steps, self._last_width, scene)
        self._steps = self._steps + 1 if after is self._phase else 0
        self._phase = after
        self._last_width = state.gripper_width
        linear, yaw, gripper = _COMMANDS[after](scene)
        # keep the hand vertical; about the vertical itself turn by `yaw`
        angular = ANGULAR_GAIN * (rotation_between(scene.approach_axis, DOWN) + np.array([0.0, 0.0, yaw]))
        linear = shortened_array(linear, MAX_LINEAR_SPEED)
        angular = shortened_array(angular, MAX_ANGULAR_SPEED)
        return np.concatenate([linear, angular, [gripper]]).astype(np.float32)


def make_expert(task: str) -> Expert:
    """Raises ValueError for an unknown task."""
    return Expert(task_spec(task).grasp)


def progress(task: str, state: ExpertInput) -> float:
    """Path left to success [m]: hand to object along the cone, then object to its place; smaller is better.

    Raises:
        ValueError: unknown task.
    """
    scene = Scene(task_spec(task).grasp, state)
    if scene.placed:
        return 0.0
    reach = 0.0 if scene.held else GRASP_CONE.length(scene.to_grasp)
    return reach + scene.place_cone.length(scene.to_place)


class Scene:
    """Quantities of one instant that phases and commands share."""

    def __init__(self, task: GraspTask, state: ExpertInput):
        self.task, self.state = task, state
        pose = np.asarray(state.objects[task.object_name], dtype=np.float64)
        hand = matrix_from_quaternion(state.ee_quaternion)
        rotation = matrix_from_quaternion(pose[3:])
        self.approach_axis = hand[:, 2]
        self.grasp_point = pose[:3] + rotation @ np.asarray(task.grasp_offset)
        handle = self.grasp_point - pose[:3]
        self.handle_yaw = np.arctan2(handle[1], handle[0])
        self.to_grasp = self.grasp_point - state.ee_position
        self.hand_yaw = wrap_angle(np.arctan2(hand[1, 0], hand[0, 0]) - NOMINAL_YAW)  # from the arm at rest
        self.object_yaw = _axis_yaw(rotation, task)
        self.place = task.place(pose, state.objects)
        self.to_place = self.place - pose[:3]
        self.placed = task.placed(pose, state.objects)
        self.place_cone = Cone(task.place_hover, task.place_slope)
        self.obstacle_yaw = _obstacle_yaw(pose, state.objects, task)
        self.near = bool(np.linalg.norm(self.to_grasp[:2]) < 0.025 and abs(self.to_grasp[2]) < 0.025)
        self.held = bool(self.near and abs(state.gripper_width - task.width) < task.width_margin)

    @property
    def at_grasp(self) -> bool:
        """Whether the fingers would close around the object from here, however wide open they are."""
        reach = self.task.reach_tolerance
        there = np.linalg.norm(self.to_grasp[:2]) < reach and abs(self.to_grasp[2]) < reach
        return bool(there and abs(self.grasp_yaw) < 2 * YAW_TOLERANCE)

    @property
    def grasp_yaw(self) -> float:
        """Turn [rad] that puts the fingers across the object: clear of the obstacle, else the smallest in reach."""
        symmetry = self.task.grasp_symmetry
        nearest = wrap_angle(self.object_yaw - NOMINAL_YAW, symmetry)
        choices = [yaw for yaw in (nearest, nearest - symmetry, nearest + symmetry) if abs(yaw) <= MAX_YAW]
        choices.sort(key=lambda yaw: abs(yaw - self.hand_yaw))
        obstacle_yaw = self.obstacle_yaw
        if obstacle_yaw is not None:
            # fingers across the line between the two objects come down beside the obstacle
            choices.sort(key=lambda yaw: abs(np.cos(yaw + NOMINAL_YAW - obstacle_yaw)))
        # not wrapped: the way through half a turn from rest is beyond the wrist's limit
        return choices[0] - self.hand_yaw

    @property
    def place_yaw(self) -> float:
        """Turn [rad] that aligns a held object with its place: within the wrist's and the arm's reach, else least."""
        symmetry = self.task.place_symmetry
        if symmetry is None:
            return 0.0
        least = wrap_angle(-self.object_yaw, symmetry)
        turns = sorted((least + step * symmetry for step in (-2, -1, 0, 1, 2)), key=abs)
        within = [turn for turn in turns if abs(self.hand_yaw + turn) <= MAX_YAW]
        # a hand beyond the place, seen from the arm, would be at the end of its reach
        near = [turn for turn in within if np.cos(self.handle_yaw + turn) < 0.5]
        return (near or within or turns)[0]


def _axis_yaw(rotation: np.ndarray, task: GraspTask) -> float:
    """Yaw [rad] of the object axis that the fingers close along."""
    if task.finger_axis is not None:
        axis = rotation[:, task.finger_axis]
    else:
        # of a cube lying on any face, the most horizontal axis
        axis = rotation[:, np.argmin(np.abs(rotation[2]))]
    return float(np.arctan2(axis[1], axis[0]))


def _obstacle_yaw(pose: np.ndarray, objects: Mapping[str, np.ndarray], task: GraspTask) -> float | None:
    """Direction [rad] from the object to the obstacle, None where it is far enough away or there is none."""
    if task.obstacle is None:
        return None
    offset = objects[task.obstacle][:2] - pose[:2]
    return float(np.arctan2(offset[1], offset[0])) if np.linalg.norm(offset) < OBSTACLE_DISTANCE else None


@dataclass(frozen=True, slots=True)
class Cone:
    """How high above a goal to stay, by the distance to it sideways."""

    hover: float  # m, at most
    slope: float  # m per m

    def height(self, sideways: float) -> float:
        return float(np.clip(self.slope * (sideways - CONE_TOLERANCE), 0.0, self.hover))

    def length(self, offset: np.ndarray) -> float:
        """Length [m] of the way to a goal at `offset` (3,) [m]: up or down to the cone, across, down."""
        sideways = float(np.linalg.norm(offset[:2]))
        height = self.height(sideways)
        return sideways + abs(height + float(offset[2])) + height

    def velocity(self, offset: np.ndarray, least_height: float = 0.0) -> np.ndarray:
        """Velocity (3,) [m/s] along the way, staying at least `least_height` [m] above the goal."""
        climb = max(self.height(float(np.linalg.norm(offset[:2]))), least_height) + offset[2]
        # while too low, rise first: crossing would hit what stands beside the goal
        freedom = np.clip(1.0 - (climb - 0.01) / 0.02, 0.0, 1.0)
        return LINEAR_GAIN * np.array([offset[0] * freedom, offset[1] * freedom, climb])


GRASP_CONE = Cone(HOVER_HEIGHT, CONE_SLOPE)


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
    ready = scene.state.gripper_width > scene.task.open_width and abs(scene.grasp_yaw) < YAW_TOLERANCE
    return GRASP_CONE.velocity(scene.to_grasp, 0.0 if ready else 0.05), scene.grasp_yaw, OPEN


def _close(scene: Scene) -> tuple[np.ndarray, float, float]:
    return np.zeros(3), 0.0, CLOSED


def _carry(scene: Scene) -> tuple[np.ndarray, float, float]:
    turned = abs(scene.place_yaw) < YAW_TOLERANCE / 2
    return scene.place_cone.velocity(scene.to_place, 0.0 if turned else 0.03), scene.place_yaw, CLOSED


def _release(scene: Scene) -> tuple[np.ndarray, float, float]:
    return np.zeros(3), 0.0, OPEN


def _retreat(scene: Scene) -> tuple[np.ndarray, float, float]:
    climb = scene.grasp_point[2] + HOVER_HEIGHT - scene.state.ee_position[2]
    return np.array([0.0, 0.0, LINEAR_GAIN * climb]), 0.0, OPEN


# phase -> (linear velocity [m/s], turn about the vertical [rad], gripper)
_COMMANDS = {
    Phase.APPROACH: _approach,
    Phase.CLOSE: _close,
    Phase.CARRY: _carry,
    Phase.RELEASE: _release,
    Phase.RETREAT: _retreat,
}
