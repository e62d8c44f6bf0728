"""An assembly of three wooden pieces: a plate with a wall into a frame, a roof with a slot over the wall."""

from __future__ import annotations

from typing import Any

import numpy as np

from apo_sim_bridge.models.shapes import Contact, Shape, ShapesObject, wood
from apo_sim_bridge.models.table_env import WIDE_VIEW, TableEnv

_MATERIAL = "redwood_mat"
_PLATE, _WALL_HEIGHT, _PLATE_HEIGHT = 0.102, 0.068, 0.034
_RANGE = (-0.22, 0.22)  # m
_YAW = np.pi / 2  # the wall and the slot lie along the world's x axis
_ASIDE = 0.02  # m sideways within which a piece is assembled
_SEAT = 0.08  # m between the centres of base and second piece, within 0.02


def _box(x: float, y: float, z: float, at: tuple[float, float, float]) -> Shape:
    return Shape((x / 2, y / 2, z / 2), at, material=_MATERIAL)


def _base() -> ShapesObject:
    outer, inner, height = 0.190, 0.114, 0.038
    side, middle = (outer - inner) / 2, (outer + inner) / 4
    shapes = [_box(side, outer, height, (sign * middle, 0.0, 0.0)) for sign in (-1, 1)]
    shapes += [_box(inner, side, height, (0.0, sign * middle, 0.0)) for sign in (-1, 1)]
    material = wood("WoodRed", "redwood")
    return ShapesObject("base", shapes, height / 2, 0.134, Contact(density=10_000.0), [material])


def _piece1() -> ShapesObject:
    half = (_PLATE_HEIGHT + _WALL_HEIGHT) / 2
    shapes = [
        _box(_PLATE, _PLATE, _PLATE_HEIGHT, (0.0, 0.0, _PLATE_HEIGHT / 2 - half)),
        _box(0.034, _PLATE, _WALL_HEIGHT, (0.0, 0.0, half - _WALL_HEIGHT / 2)),
    ]
    return ShapesObject("piece1", shapes, half, 0.072, Contact(density=100.0), [wood("WoodRed", "redwood")])


def _piece2() -> ShapesObject:
    shapes = [_box(0.04, 0.12, 0.08, (sign * 0.04, 0.0, -0.04)) for sign in (-1, 1)]
    shapes += [_box(0.12, 0.12, 0.04, (0.0, 0.0, 0.02)), _box(0.04, 0.04, 0.04, (0.0, 0.0, 0.06))]
    return ShapesObject("piece2", shapes, 0.08, 0.085, Contact(density=100.0), [wood("WoodRed", "redwood")])


class ThreePieceModel(TableEnv):
    """Success: piece 1 over the base, piece 2 over piece 1 and on the base, neither held."""

    agentview = WIDE_VIEW

    def make_objects(self) -> list[Any]:
        """See TableEnv."""
        return [_base(), _piece1(), _piece2()]

    def make_samplers(self, objects: list[Any]) -> list[Any]:
        """See TableEnv."""
        base, *pieces = objects
        return [
            self.sampler(base, (0.0, 0.0), (0.0, 0.0), rotation=0.0),
            *(self.sampler(piece, _RANGE, _RANGE, rotation=_YAW) for piece in pieces),
        ]

    def _check_success(self) -> bool:
        base, first, second = (self.position(item) for item in self.items)
        return bool(
            np.linalg.norm(first[:2] - base[:2]) < _ASIDE
            and np.linalg.norm(second[:2] - first[:2]) < _ASIDE
            and abs(second[2] - base[2] - _SEAT) < 0.02
            and not self.is_grasped(self.items[1])
            and not self.is_grasped(self.items[2])
        )
