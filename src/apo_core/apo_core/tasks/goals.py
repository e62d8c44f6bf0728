"""Where the objects of the tasks belong, and when they are there: functions of poses alone. Pure numpy.

A pose is (7,): x y z [m], quaternion xyzw. `place` functions return the goal of an object's centre (3,) [m], `placed`
functions whether nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from apo_core.rotations import matrix_from_quaternion
from apo_core.tasks.subtasks import Objects

Place = Callable[[np.ndarray, Objects], np.ndarray]
Placed = Callable[[np.ndarray, Objects], bool]

_LIFT_HEIGHT = 0.92  # m, centre of the cube; success is 0.84
_LIFTED_HEIGHT = 0.84  # m
_PEG_HALF_HEIGHT = 0.1  # m
_INSERTION = 0.06  # m of the peg inside the nut before the fingers open; the nut falls the rest


def lift_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    """Above where the object is."""
    return np.array([pose[0], pose[1], _LIFT_HEIGHT])


def lifted(pose: np.ndarray, objects: Objects) -> bool:
    """Whether the cube is above the table."""
    return bool(pose[2] > _LIFTED_HEIGHT)


def never(pose: np.ndarray, objects: Objects) -> bool:
    """There is always something left to do, such as to hold on."""
    return False


def on_top_of(
    name: str, gap: float, place_name: str | None = None, aside: float = 0.03, off: float = 0.01
) -> tuple[Place, Placed]:
    """`place` and `placed` of an object that belongs above another.

    Args:
        name: object whose height counts.
        gap: m between the centres.
        place_name: object that it belongs over, if another.
        aside: m sideways at most.
        off: m in height at most.
    """

    def place(pose: np.ndarray, objects: Objects) -> np.ndarray:
        return np.append(objects[place_name or name][:2], objects[name][2] + gap)

    def placed(pose: np.ndarray, objects: Objects) -> bool:
        offset = place(pose, objects) - pose[:3]
        return bool(np.linalg.norm(offset[:2]) < aside and abs(offset[2]) < off)

    return place, placed


def around_peg(name: str) -> tuple[Place, Placed]:
    """`place` and `placed` of a nut that belongs around the peg `name`, which is 0.2 m high."""

    def place(pose: np.ndarray, objects: Objects) -> np.ndarray:
        return objects[name][:3] + np.array([0.0, 0.0, _PEG_HALF_HEIGHT - _INSERTION])

    def placed(pose: np.ndarray, objects: Objects) -> bool:
        offset = objects[name][:3] - pose[:3]
        return bool(np.abs(offset[:2]).max() < 0.03 and offset[2] + _PEG_HALF_HEIGHT > 0.03)

    return place, placed


def inside_of(name: str, seat: tuple[float, float, float], drop: float, aside: float) -> tuple[Place, Placed]:
    """`place` and `placed` of an object that is dropped into a holder.

    Args:
        name: body of the holder.
        seat: m, where the object's centre comes to rest, in the frame of that body.
        drop: m above it at which the object is released.
        aside: m sideways at most.
    """

    def place(pose: np.ndarray, objects: Objects) -> np.ndarray:
        return _point(objects[name], seat) + np.array([0.0, 0.0, drop])

    def placed(pose: np.ndarray, objects: Objects) -> bool:
        offset = _point(objects[name], seat) - pose[:3]
        return bool(np.linalg.norm(offset[:2]) < aside and abs(offset[2]) < 0.006)

    return place, placed


def _point(pose: np.ndarray, offset: tuple[float, float, float]) -> np.ndarray:
    point: np.ndarray = pose[:3] + matrix_from_quaternion(np.asarray(pose[3:], np.float64)) @ np.asarray(offset)
    return point
