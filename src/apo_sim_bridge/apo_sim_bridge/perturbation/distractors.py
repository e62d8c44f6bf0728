"""Objects that have nothing to do with the task: their part of the model's XML, their shapes and places. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from apo_sim_bridge.perturbation.draws import Stream

MAX_HALF_SIZE = 0.035  # m, of every shape along every axis
_MIN_HALF_SIZE = 0.015
_DENSITY = 400.0  # kg/m3, wood
_MARGIN = 0.08  # m between a distractor and anything of the task, so that the open hand, +-0.10 m wide, has room
_GAP = 0.01  # m between two of them
_REACH = np.array([[-0.22, -0.25], [0.18, 0.25]])  # m from the middle of the table: what agentview shows of it
_EDGE = 0.06  # m to the edge of the table
_TRIES = 300
_PARKED = np.array([3.0, 0.0, 0.2])  # m: behind the camera, on the floor


class Shape(StrEnum):
    """Shapes of MuJoCo's geoms."""

    BOX = "box"
    CYLINDER = "cylinder"
    SPHERE = "sphere"


@dataclass(frozen=True, slots=True)
class Distractor:
    """One object as it lies in an episode."""

    shape: Shape
    half_size: np.ndarray  # float64 (3,) m; cylinder: radius, radius, half height; sphere: three times the radius
    rgb: np.ndarray  # float64 (3,) in [0, 1]
    position: np.ndarray | None  # float64 (2,) m, in the world; None: there was no room, it is parked
    yaw: float  # rad

    @property
    def mass(self) -> float:
        """kg."""
        x, y, z = self.half_size.tolist()
        volume = {Shape.BOX: 8 * x * y * z, Shape.CYLINDER: 2 * np.pi * x**2 * z, Shape.SPHERE: 4 / 3 * np.pi * x**3}
        return float(_DENSITY * volume[self.shape])

    @property
    def inertia(self) -> np.ndarray:
        """Moments about its axes, float64 (3,) kg m2."""
        x, y, z = (self.half_size**2).tolist()
        if self.shape is Shape.BOX:
            moments = np.array([y + z, x + z, x + y]) / 3
        elif self.shape is Shape.CYLINDER:
            moments = np.array([x / 4 + z / 3, x / 4 + z / 3, x / 2])
        else:
            moments = np.full(3, 0.4 * x)
        return self.mass * moments

    @property
    def radius(self) -> float:
        """Of the circle around it, seen from above, m."""
        x, y, _ = self.half_size.tolist()
        return float(np.hypot(x, y)) if self.shape is Shape.BOX else x


_LARGEST = Distractor(Shape.BOX, np.full(3, MAX_HALF_SIZE), np.zeros(3), None, 0.0)


@dataclass(frozen=True, slots=True)
class Circle:
    """Something on the table, seen from above."""

    centre: np.ndarray  # float64 (2,) m
    radius: float  # m


def body_name(index: int) -> str:
    """Body, joint and geom of a distractor in the model."""
    return f"distractor{index}"


def add_distractors(xml: str, count: int) -> str:
    """The model with `count` free bodies more, each as large as a distractor can be."""
    if not count:
        return xml
    root = ElementTree.fromstring(xml)
    world = root.find("worldbody")
    if world is None:
        raise ValueError("the model has no worldbody")
    for index in range(count):
        x, y, z = parked(index).tolist()
        body = ElementTree.SubElement(world, "body", name=body_name(index), pos=f"{x} {y} {z}")
        ElementTree.SubElement(body, "freejoint", name=body_name(index))
        # stated, since robosuite's models take the inertia of invisible geoms alone
        inertia = " ".join(map(str, _LARGEST.inertia.tolist()))
        ElementTree.SubElement(body, "inertial", pos="0 0 0", mass=str(_LARGEST.mass), diaginertia=inertia)
        size = " ".join([str(MAX_HALF_SIZE)] * 3)
        geom = ElementTree.SubElement(body, "geom", name=body_name(index), type="box", size=size)
        geom.attrib.update(group="1", condim="4", rgba="0.5 0.5 0.5 1")
    return ElementTree.tostring(root, encoding="unicode")


def parked(index: int) -> np.ndarray:
    """Where a distractor is that has no place on the table, float64 (3,) m."""
    return _PARKED + np.array([0.0, 0.2 * index, 0.0])


def draw_distractors(
    count: int, table_low: Sequence[float], table_high: Sequence[float], taken: Sequence[Circle], seed: int
) -> list[Distractor]:
    """The distractors of the episode of `seed`.

    Args:
        count: how many.
        table_low, table_high: (2,) corners of the table's top, m.
        taken: what the task has on the table.
        seed: of the episode.
    """
    rng, low, high = Stream.DISTRACTORS.of(seed), np.asarray(table_low), np.asarray(table_high)
    middle = (low + high) / 2
    low, high = np.maximum(low + _EDGE, middle + _REACH[0]), np.minimum(high - _EDGE, middle + _REACH[1])
    circles, made = [Circle(each.centre, each.radius + _MARGIN) for each in taken], list[Distractor]()
    for _ in range(count):
        shape = list(Shape)[rng.integers(len(Shape))]
        half_size = rng.uniform(_MIN_HALF_SIZE, MAX_HALF_SIZE, 3)
        if shape is not Shape.BOX:
            half_size[1] = half_size[0]
        if shape is Shape.SPHERE:
            half_size[2] = half_size[0]
        rgb, yaw = rng.uniform(0.05, 0.95, 3), float(rng.uniform(-np.pi, np.pi))
        one = Distractor(shape, half_size, rgb, None, yaw)
        place = _free_place(rng, low, high, circles, one.radius)
        if place is not None:
            one = Distractor(shape, half_size, rgb, place, yaw)
            circles.append(Circle(place, one.radius + _GAP))
        made.append(one)
    return made


def _free_place(
    rng: np.random.Generator, low: np.ndarray, high: np.ndarray, circles: Sequence[Circle], radius: float
) -> np.ndarray | None:
    for place in rng.uniform(low, high, (_TRIES, 2)):
        if all(np.linalg.norm(place - each.centre) >= each.radius + radius for each in circles):
            return place
    return None
