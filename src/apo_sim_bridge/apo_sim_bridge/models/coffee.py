"""A coffee machine with a holder and a hinged lid, and the pod that belongs into it."""

from __future__ import annotations

from typing import Any

import numpy as np

from apo_sim_bridge.models.shapes import Contact, Hinged, Shape, ShapesObject
from apo_sim_bridge.models.table_env import TableEnv

_STIFF = (0.004, 1.0)  # with softer contacts the light pod sinks in
_HALF_HEIGHT = 0.1105
_AT, _YAW = (0.0, -0.1), np.deg2rad(-30.0)  # of the machine on the table
_HOLDER = np.array([0.0, 0.106, 0.0635])
_HOLDER_OUTER, _HOLDER_INNER, _HOLDER_HEIGHT, _HOLDER_FLOOR = 0.0295, 0.025, 0.056, 0.012
_HINGE = (0.0, 0.0605, 0.106)
_LID_SIZE = (0.059, 0.088, 0.019)
_LID_CENTRE = np.array([0.0, 0.044, 0.0])  # from the hinge
OPEN_ANGLE = np.deg2rad(120.0)
_SHUT_ANGLE = np.deg2rad(15.0)
_POD_HEIGHT, _RIM_HEIGHT, _RIM_RADIUS = 0.0462, 0.003, 0.0243
_POD_RADII = (0.0205, 0.0214, 0.0222)  # from the bottom up, below the rim
_POD_X, _POD_Y = (-0.13, -0.07), (0.17, 0.23)  # m
_PLAY = _HOLDER_OUTER - _RIM_RADIUS  # m off the holder's axis at most

_WHITE, _GREY, _DARK, _BROWN = (
    (0.86, 0.86, 0.84, 1.0),
    (0.55, 0.55, 0.57, 1.0),
    (0.16, 0.16, 0.18, 1.0),
    (0.45, 0.26, 0.13, 1.0),
)


def _holder() -> list[Shape]:
    sides, middle = 16, (_HOLDER_OUTER + _HOLDER_INNER) / 2
    size = ((_HOLDER_OUTER - _HOLDER_INNER) / 2, _HOLDER_OUTER * np.tan(np.pi / sides), _HOLDER_HEIGHT / 2)
    ring = []
    for angle in np.arange(sides) * 2 * np.pi / sides:
        x, y, z = _HOLDER + middle * np.array([np.cos(angle), np.sin(angle), 0.0])
        ring.append(Shape(size, (x, y, z), float(angle), rgba=_GREY))
    x, y, z = _HOLDER
    floor = (x, y, z - (_HOLDER_HEIGHT - _HOLDER_FLOOR) / 2)
    return [*ring, Shape((_HOLDER_INNER, _HOLDER_FLOOR / 2), floor, rgba=_GREY)]


def _machine() -> ShapesObject:
    shapes = [
        Shape((0.0865, _HALF_HEIGHT), (0.0, -0.064, 0.0), mass=2.6, rgba=_WHITE),
        Shape((0.0865, _HALF_HEIGHT), (0.0, -0.036, 0.0), mass=2.6, rgba=_WHITE),
        Shape((0.0865, 0.014, _HALF_HEIGHT), (0.0, -0.050, 0.0), mass=1.1, rgba=_WHITE),
        Shape((0.042, 0.050, 0.005), (0.0, 0.1005, -0.1055), rgba=_DARK),
        Shape((0.028, 0.025), (0.0, 0.1005, -0.0755), rgba=_BROWN, is_solid=False),
        Shape((0.010, 0.013, 0.005), (0.0, 0.0635, 0.0865), rgba=_DARK),
        *_holder(),
    ]
    x, y, z = (edge / 2 for edge in _LID_SIZE)
    lid = Hinged(
        name="lid",
        at=_HINGE,
        shapes=[Shape((x, y, z), tuple(_LID_CENTRE), mass=0.091, rgba=_DARK)],
        joint={
            "axis": "1 0 0",
            "range": f"0 {OPEN_ANGLE}",
            "limited": "true",
            "damping": "0.005",
            "solreflimit": "0.004 1",
        },
    )
    return ShapesObject("machine", shapes, _HALF_HEIGHT, 0.17, Contact(solref=_STIFF), hinged=lid)


def _pod() -> ShapesObject:
    step = (_POD_HEIGHT - _RIM_HEIGHT) / len(_POD_RADII)
    bottom = -_POD_HEIGHT / 2
    shapes = [
        Shape((radius, step / 2), (0.0, 0.0, bottom + step * (index + 0.5)), rgba=_BROWN)
        for index, radius in enumerate(_POD_RADII)
    ]
    shapes.append(Shape((_RIM_RADIUS, _RIM_HEIGHT / 2), (0.0, 0.0, -bottom - _RIM_HEIGHT / 2), rgba=_WHITE))
    contact = Contact(density=100.0, friction=(1.0, 1.0, 1.0), solref=_STIFF, condim=4)
    return ShapesObject("pod", shapes, _POD_HEIGHT / 2, _RIM_RADIUS, contact)


class CoffeeModel(TableEnv):
    """Success: the pod is in the holder, the lid is shut."""

    def make_objects(self) -> list[Any]:
        """See TableEnv."""
        return [_machine(), _pod()]

    def make_samplers(self, objects: list[Any]) -> list[Any]:
        """See TableEnv."""
        machine, pod = objects
        x, y = _AT
        return [
            self.sampler(machine, (x, x), (y, y), rotation=_YAW),
            self.sampler(pod, _POD_X, _POD_Y, rotation=0.0),
        ]

    def _setup_references(self) -> None:
        super()._setup_references()
        machine = self.items[0]
        self._lid = self.sim.model.body_name2id(machine.bodies[1])
        self._hinge = machine.joints[1]

    def _reset_internal(self) -> None:
        super()._reset_internal()
        self.sim.data.set_joint_qpos(self._hinge, OPEN_ANGLE)

    def _check_success(self) -> bool:
        data = self.sim.data
        machine, pod = (self.position(item) for item in self.items)
        frame = np.array(data.body_xmat[self.sim.model.body_name2id(self.items[0].root_body)]).reshape(3, 3)
        holder = machine + frame @ _HOLDER
        lid = np.array(data.body_xpos[self._lid]) + np.array(data.body_xmat[self._lid]).reshape(3, 3) @ _LID_CENTRE
        return bool(
            data.get_joint_qpos(self._hinge) < _SHUT_ANGLE
            and np.linalg.norm(pod[:2] - holder[:2]) < _PLAY
            and pod[2] - _POD_HEIGHT / 2 > holder[2] - _HOLDER_HEIGHT / 2
            and pod[2] + _POD_HEIGHT / 2 < lid[2] - _LID_SIZE[2] / 2
        )
