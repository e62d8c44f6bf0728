"""What an expert sees of one instant, and the quantities of a grasp that follow from it. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apo_core.rotations import matrix_from_quaternion, wrap_angle
from apo_core.tasks.subtasks import GraspTask

LINEAR_GAIN = 14.0  # 1/s
CONE_TOLERANCE = 0.006  # m sideways at which the descent may reach the goal
CONE_SLOPE = 4.0  # m of height kept above the object per m sideways beyond the tolerance
FINGER_REACH = 0.05  # m between the middle of the open hand and a finger
CLEARANCE = 0.07  # m between a finger and the centre of an obstacle beyond which it comes down freely
NOMINAL_YAW = np.pi / 2  # rad, finger axis of the arm at rest
MAX_YAW = np.deg2rad(100)  # rad to either side of NOMINAL_YAW that the wrist reaches
YAW_TOLERANCE = 0.12  # rad
DOWN = np.array([0.0, 0.0, -1.0])
# distance from the arm's base [m] -> lean of the hand outward [rad]: a vertical hand locks the elbow at both ends
_LEANS = ((0.34, 0.42, 0.66, 0.78), np.deg2rad((-20.0, 0.0, 0.0, 30.0)))


@dataclass(frozen=True, slots=True)
class ExpertInput:
    """What an expert sees of one instant."""

    ee_position: np.ndarray  # (3,) m
    ee_quaternion: np.ndarray  # (4,) xyzw
    gripper_width: float  # m
    objects: Mapping[str, np.ndarray]  # name -> (7,) x y z [m], quaternion xyzw


@dataclass(frozen=True, slots=True)
class Cone:
    """How high above a goal to stay, by the distance to it sideways."""

    hover: float  # m, at most
    slope: float  # m per m
    tolerance: float = CONE_TOLERANCE  # m sideways
    inside: float = 0.0  # m above the goal below which an object over it is inside

    def height(self, sideways: float) -> float:
        return float(np.clip(self.slope * (sideways - self.tolerance), 0.0, self.hover))

    def is_inside(self, offset: np.ndarray) -> bool:
        """Whether an object at `offset` (3,) [m] from its place is so far inside that the way is straight."""
        return bool(-offset[2] < self.inside and np.linalg.norm(offset[:2]) < 2 * self.tolerance + 0.003)

    def length(self, offset: np.ndarray) -> float:
        """Length [m] of the way to a goal at `offset` (3,) [m]: up or down to the cone, across, down."""
        sideways = float(np.linalg.norm(offset[:2]))
        height = 0.0 if self.is_inside(offset) else self.height(sideways)
        return sideways + abs(height + float(offset[2])) + height

    def velocity(self, offset: np.ndarray, least_height: float = 0.0) -> np.ndarray:
        """Velocity (3,) [m/s] along the way, staying at least `least_height` [m] above the goal."""
        if self.is_inside(offset):
            return LINEAR_GAIN * offset
        climb = max(self.height(float(np.linalg.norm(offset[:2]))), least_height) + offset[2]
        # while too low, rise first: crossing would hit what stands beside the goal
        freedom = np.clip(1.0 - (climb - 0.01) / 0.02, 0.0, 1.0)
        return LINEAR_GAIN * np.array([offset[0] * freedom, offset[1] * freedom, climb])


class Scene:
    """Quantities of one instant of a grasp that phases and commands share.

    Args:
        task: the grasp.
        state: the instant.
        wrist_yaw: [rad] from the arm at rest that the approach has chosen before; of equal choices it keeps this one.
    """

    def __init__(self, task: GraspTask, state: ExpertInput, wrist_yaw: float | None = None):
        self.task, self.state, self._wrist_yaw = task, state, wrist_yaw
        pose = np.asarray(state.objects[task.object_name], dtype=np.float64)
        hand = matrix_from_quaternion(state.ee_quaternion)
        rotation = matrix_from_quaternion(pose[3:])
        self.approach_axis = hand[:, 2]
        self.up_axis = rotation[:, 2]
        self.grasp_point = pose[:3] + rotation @ np.asarray(task.grasp_offset)
        handle = self.grasp_point - pose[:3]
        self.handle_yaw = np.arctan2(handle[1], handle[0]) if np.hypot(handle[0], handle[1]) > 0.01 else None
        self.to_grasp = self.grasp_point - state.ee_position
        self.hand_yaw = wrap_angle(np.arctan2(hand[1, 0], hand[0, 0]) - NOMINAL_YAW)  # from the arm at rest
        self.object_yaw = _axis_yaw(_rotation_of(task.fingers_of, state, rotation), task)
        self.place = task.place(pose, state.objects)
        self.to_place = self.place - pose[:3]
        self.placed = task.placed(pose, state.objects)
        self.grasp_cone = Cone(task.grasp_hover, CONE_SLOPE)
        self.place_cone = Cone(task.place_hover, task.place_slope, task.place_cone, task.place_inside)
        self._obstacles = [state.objects[name][:2] - pose[:2] for name in task.obstacles]
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
        """Turn [rad] that puts the fingers across the object: clear of the obstacles, else the smallest in reach."""
        symmetry = self.task.grasp_symmetry
        nearest = wrap_angle(self.object_yaw - NOMINAL_YAW, symmetry)
        choices = [yaw for yaw in (nearest, nearest - symmetry, nearest + symmetry) if abs(yaw) <= MAX_YAW]
        if self._wrist_yaw is not None:
            wrist_yaw = self._wrist_yaw
            choices.sort(key=lambda yaw: abs(yaw - wrist_yaw))
        else:
            choices.sort(key=lambda yaw: abs(yaw - self.hand_yaw))
            choices.sort(key=self._clearance, reverse=True)
        # not wrapped: the way through half a turn from rest is beyond the wrist's limit
        return choices[0] - self.hand_yaw

    def _clearance(self, yaw: float) -> float:
        """Least distance [m] of a finger to the centre of an obstacle when it comes down turned by `yaw` from rest."""
        way = FINGER_REACH * np.array([np.cos(yaw + NOMINAL_YAW), np.sin(yaw + NOMINAL_YAW)])
        apart = [float(np.linalg.norm(to - side * way)) for to in self._obstacles for side in (-1, 1)]
        return min([CLEARANCE, *apart])

    @property
    def place_yaw(self) -> float:
        """Turn [rad] that aligns a held object with its place: within the wrist's and the arm's reach, else least."""
        if self.task.fingers_of is not None:
            return self.grasp_yaw
        symmetry = self.task.place_symmetry
        if symmetry is None:
            return 0.0
        place = _axis_yaw(_rotation_of(self.task.place_object, self.state, np.eye(3)), self.task)
        least = wrap_angle(place - self.object_yaw, symmetry)
        turns = sorted((least + step * symmetry for step in (-2, -1, 0, 1, 2)), key=abs)
        within = [turn for turn in turns if abs(self.hand_yaw + turn) <= MAX_YAW]
        handle_yaw = self.handle_yaw
        # a hand beyond the place, seen from the arm, would be at the end of its reach
        near = [turn for turn in within if handle_yaw is not None and np.cos(handle_yaw + turn) < 0.5]
        return (near or within or turns)[0]

    @property
    def approach_goal(self) -> np.ndarray:
        """Direction (3,) that the hand points in at the grasp: down, leaning at the ends of the arm's reach."""
        if self.task.arm_base is None:
            return DOWN
        outward = self.grasp_point[:2] - self.task.arm_base
        reach = float(np.linalg.norm(outward))
        lean = float(np.interp(reach, *_LEANS))
        return np.append(np.sin(lean) * outward / reach, -np.cos(lean))


def _rotation_of(name: str | None, state: ExpertInput, default: np.ndarray) -> np.ndarray:
    return default if name is None else matrix_from_quaternion(np.asarray(state.objects[name], np.float64)[3:])


def _axis_yaw(rotation: np.ndarray, task: GraspTask) -> float:
    """Yaw [rad] of the object axis that the fingers close along."""
    if task.finger_axis is not None:
        axis = rotation[:, task.finger_axis]
    else:
        # of a cube lying on any face, the most horizontal axis
        axis = rotation[:, np.argmin(np.abs(rotation[2]))]
    return float(np.arctan2(axis[1], axis[0]))
