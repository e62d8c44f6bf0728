"""The parts that a task consists of, as its scripted expert carries them out: grasp and place an object, push a lid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Objects = Mapping[str, np.ndarray]  # name -> (7,) x y z [m], quaternion xyzw


@dataclass(frozen=True, slots=True)
class GraspTask:
    """Which object to grasp and how, where it belongs, and when it is there. SI units."""

    object_name: str  # key in `objects`
    width: float  # m between the fingers when they hold the object
    width_margin: float  # m around `width` that still counts as held
    open_width: float  # m at least between the fingers before coming down
    reach_tolerance: float  # m of position error at which to close
    place: Callable[[np.ndarray, Objects], np.ndarray]  # object pose (7,), all objects -> goal of its centre (3,) m
    placed: Callable[[np.ndarray, Objects], bool]  # same arguments -> nothing is left to do
    stages: tuple[str, str] = ("grasped", "placed")  # names of what it reaches
    achieved: Callable[[np.ndarray, Objects], bool] | None = None  # when its second stage is reached; None: `placed`
    grasp_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, object frame
    grasp_symmetry: float = np.pi / 2  # rad of yaw after which the grasp repeats
    grasp_hover: float = 0.08  # m above the object while far from it sideways
    turn_height: float = 0.05  # m above the object while the fingers open and turn; higher beside a stack
    finger_axis: int | None = None  # object axis the fingers close along; None: any horizontal one
    fingers_of: str | None = None  # object whose axis that is, in the grasp and at the place; None: the grasped one
    place_object: str | None = None  # object that the place's yaw follows; None: the world's axes
    place_symmetry: float | None = None  # rad of yaw after which the place repeats; None: any yaw will do
    place_yaw_tolerance: float = 0.06  # rad within which to go down
    place_tolerance: float = 0.008  # m sideways at which to open
    place_hover: float = 0.08  # m above the place while far from it sideways
    place_slope: float = 4.0  # m of height kept per m sideways; steep where the object must not touch its place's rim
    place_cone: float = 0.006  # m sideways within which to go down
    place_inside: float = 0.0  # m above the place below which the object is inside it and is not lifted out again
    place_steps: int = 0  # steps to stand still above the place before going down
    obstacles: tuple[str, ...] = ()  # objects the open fingers must not come down on
    arm_base: tuple[float, float] | None = None  # m; the hand leans at the ends of the reach from there; None: never
    is_upright: bool = False  # keep the object's z axis vertical while it is carried, instead of the hand's
    releases: bool = True  # whether to open at the place


@dataclass(frozen=True, slots=True)
class PushTask:
    """A hinged lid that closed fingers push shut from behind. Lengths in m, in the frame of the body that carries it.

    The hinge lies along x; the lid opens towards -y, and the fingers come down behind it.
    """

    object_name: str  # the body
    lid_name: str
    hinge: tuple[float, float, float]  # a point of its axis, at the middle of the lid
    stages: tuple[str] = ("lid closed",)  # name of what it reaches
    shut_angle: float = np.deg2rad(14.0)  # rad below which it is shut
    falling_angle: float = np.deg2rad(70.0)  # rad below which it falls shut by itself
    lid_length: float = 0.09
    over: float = 0.13  # above the hinge: height to cross at
    behind: float = 0.09  # behind the hinge: where to come down
    height: float = 0.04  # above the hinge: height to push at
    speed: float = 0.4  # m/s


SubTask = GraspTask | PushTask
