"""What a scripted expert must know of each task: which object to grasp and how, where it belongs, when it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Objects = Mapping[str, np.ndarray]  # name -> (7,) x y z [m], quaternion xyzw

LIFT_HEIGHT = 0.92  # m, centre of the cube; success is 0.84
STACK_GAP = 0.045  # m between the centres of stacked cubes: half of 0.04 and half of 0.05
PEG_HALF_HEIGHT = 0.1  # m
INSERTION = 0.06  # m of the peg inside the nut before the fingers open; the nut falls the rest


@dataclass(frozen=True, slots=True)
class GraspTask:
    """One pick task, in SI units."""

    object_name: str  # key in `objects`
    width: float  # m between the fingers when they hold the object
    width_margin: float  # m around `width` that still counts as held
    open_width: float  # m at least between the fingers before coming down
    reach_tolerance: float  # m of position error at which to close
    place: Callable[[np.ndarray, Objects], np.ndarray]  # object pose (7,), all objects -> goal of its centre (3,) m
    placed: Callable[[np.ndarray, Objects], bool]  # same arguments -> nothing is left to do
    grasp_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, object frame
    grasp_symmetry: float = np.pi / 2  # rad of yaw after which the grasp repeats
    finger_axis: int | None = None  # object axis the fingers close along; None: any horizontal one
    place_symmetry: float | None = None  # rad of yaw after which the place repeats; None: any yaw will do
    place_tolerance: float = 0.008  # m sideways
    place_hover: float = 0.08  # m above the place while far from it sideways
    place_slope: float = 4.0  # m of height kept per m sideways; steep where the object must not touch its place's rim
    obstacle: str | None = None  # object the open fingers must not come down on
    releases: bool = True  # whether to open at the place


def _lift_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    return np.array([pose[0], pose[1], LIFT_HEIGHT])


def _never(pose: np.ndarray, objects: Objects) -> bool:
    return False


def _stack_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    return objects["cubeB"][:3] + np.array([0.0, 0.0, STACK_GAP])


def _stack_placed(pose: np.ndarray, objects: Objects) -> bool:
    offset = _stack_place(pose, objects) - pose[:3]
    return bool(np.linalg.norm(offset[:2]) < 0.03 and abs(offset[2]) < 0.01)


def _peg_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    return objects["peg1"][:3] + np.array([0.0, 0.0, PEG_HALF_HEIGHT - INSERTION])


def _peg_placed(pose: np.ndarray, objects: Objects) -> bool:
    offset = objects["peg1"][:3] - pose[:3]
    return bool(np.abs(offset[:2]).max() < 0.03 and offset[2] + PEG_HALF_HEIGHT > 0.03)


TASKS: dict[str, GraspTask] = {
    "Lift": GraspTask(
        object_name="cube",
        width=0.042,
        width_margin=0.01,
        open_width=0.06,
        reach_tolerance=0.012,
        place=_lift_place,
        placed=_never,
        releases=False,
    ),
    "Stack": GraspTask(
        object_name="cubeA",
        width=0.04,
        width_margin=0.01,
        open_width=0.06,
        reach_tolerance=0.012,
        place=_stack_place,
        placed=_stack_placed,
        obstacle="cubeB",
    ),
    "NutAssemblySquare": GraspTask(
        object_name="SquareNut",
        width=0.032,
        width_margin=0.008,
        open_width=0.06,
        reach_tolerance=0.01,
        place=_peg_place,
        placed=_peg_placed,
        grasp_offset=(0.054, 0.0, 0.0),
        grasp_symmetry=np.pi,
        finger_axis=1,
        place_symmetry=np.pi / 2,
        place_hover=0.11,
        place_slope=40.0,
    ),
}
