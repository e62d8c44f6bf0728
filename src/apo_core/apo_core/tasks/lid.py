"""What an expert sees of a hinged lid that it pushes shut, and the way of its closed fingers. Pure numpy."""

from __future__ import annotations

import numpy as np

from apo_core.rotations import matrix_from_quaternion, wrap_angle
from apo_core.tasks.scene import DOWN, LINEAR_GAIN, NOMINAL_YAW, YAW_TOLERANCE, ExpertInput
from apo_core.tasks.subtasks import PushTask

_ASIDE = 0.015  # m off the lid's middle at which the fingers come down and push
_BAND = 0.025  # m around the height to push at


class LidScene:
    """Quantities of one instant that phases and commands share."""

    held = False  # nothing is grasped

    def __init__(self, task: PushTask, state: ExpertInput):
        self.task, self.state = task, state
        body = np.asarray(state.objects[task.object_name], np.float64)
        self._rotation = matrix_from_quaternion(body[3:])
        lid = self._rotation.T @ matrix_from_quaternion(np.asarray(state.objects[task.lid_name], np.float64)[3:])
        self.angle = float(abs(np.arctan2(lid[2, 1], lid[1, 1])))  # rad, 0: shut
        self.placed = self.angle < task.shut_angle
        hinge = body[:3] + self._rotation @ np.asarray(task.hinge)
        self.hand = self._rotation.T @ (state.ee_position - hinge)  # (3,) m, from the hinge in the frame of the body
        hand = matrix_from_quaternion(state.ee_quaternion)
        self.approach_axis = hand[:, 2]
        self.approach_goal = DOWN
        self.hand_yaw = wrap_angle(np.arctan2(hand[1, 0], hand[0, 0]) - NOMINAL_YAW)
        self._hinge_yaw = float(np.arctan2(self._rotation[1, 0], self._rotation[0, 0]))

    @property
    def hand_turn(self) -> float:
        """Turn [rad] that puts the fingers along the hinge, through the arm at rest."""
        return float(wrap_angle(self._hinge_yaw - NOMINAL_YAW, np.pi)) - self.hand_yaw

    @property
    def is_falling(self) -> bool:
        """Whether the lid falls shut by itself."""
        return self.angle < self.task.falling_angle

    @property
    def is_behind(self) -> bool:
        """Whether the fingers stand behind the lid, at the height to push at."""
        height = float(self.hand[2])
        face = height / np.tan(self.angle) if self.angle > 0.5 else np.inf  # y of the lid at that height
        in_band = abs(height - self.task.height) < _BAND and abs(self.hand[0]) < 2 * _ASIDE
        return bool(in_band and self.hand[1] < face)

    @property
    def way(self) -> np.ndarray:
        """Way (3,) [m] that the fingers have left to the lid, in the world's axes."""
        return self._rotation @ (np.array([0.0, 0.0, self.task.height]) - self.hand)

    @property
    def path(self) -> float:
        """Path [m] left until the lid is shut: over and behind the lid, down, to the hinge, and the lid's own arc."""
        if self.placed:
            return 0.0
        arc = self.angle * self.task.lid_length
        if self.is_falling:
            return arc
        x, y, z = self.hand
        task = self.task
        if self.is_behind:
            return arc + max(0.0, -y)
        sideways = float(np.hypot(x, y + task.behind))
        down = task.over - task.height
        if sideways < 2 * _ASIDE:
            return arc + task.behind + sideways + abs(z - task.height)
        return arc + task.behind + sideways + abs(z - task.over) + down

    def velocity(self) -> np.ndarray:
        """Velocity (3,) [m/s] of closed fingers: up, over and behind the lid, down, forward; up once the lid falls."""
        task, (x, y, z) = self.task, self.hand
        if self.is_falling or self.placed:
            wanted = np.array([0.0, 0.0, task.over - z])
        elif self.is_behind:
            return self._rotation @ np.array([-LINEAR_GAIN * x, task.speed, LINEAR_GAIN * (task.height - z)])
        elif np.hypot(x, y + task.behind) < _ASIDE and abs(self.hand_turn) < YAW_TOLERANCE:
            wanted = np.array([-x, -task.behind - y, task.height - z])
        elif z < task.over - 0.02:
            wanted = np.array([0.0, 0.0, task.over - z])
        else:
            wanted = np.array([-x, -task.behind - y, task.over - z])
        return self._rotation @ (LINEAR_GAIN * wanted)
