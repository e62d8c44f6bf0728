"""Grasp and placement of one object: the part of a task that its scripted expert acts on."""

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
    grasp_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, object frame
    grasp_symmetry: float = np.pi / 2  # rad of yaw after which the grasp repeats
    finger_axis: int | None = None  # object axis the fingers close along; None: any horizontal one
    place_symmetry: float | None = None  # rad of yaw after which the place repeats; None: any yaw will do
    place_tolerance: float = 0.008  # m sideways
    place_hover: float = 0.08  # m above the place while far from it sideways
    place_slope: float = 4.0  # m of height kept per m sideways; steep where the object must not touch its place's rim
    obstacle: str | None = None  # object the open fingers must not come down on
    releases: bool = True  # whether to open at the place
