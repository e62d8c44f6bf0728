"""Objects of several boxes and cylinders. Lengths in m, masses in kg, angles in rad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from robosuite.models.objects import MujocoGeneratedObject
from robosuite.utils.mjcf_utils import CustomMaterial, array_to_string, new_body, new_geom, new_joint, new_site

FREE_JOINT = {"type": "free", "name": "free"}


@dataclass(frozen=True)
class Shape:
    """One box or cylinder."""

    size: tuple[float, ...]  # half edges x y z of a box; radius and half height of a cylinder
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)  # centre
    yaw: float = 0.0
    mass: float | None = None  # None: by the object's density
    material: str = ""  # name of one of the object's materials; "": `rgba`
    rgba: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 1.0)
    is_solid: bool = True  # false: for looks

    @property
    def kind(self) -> str:
        return "box" if len(self.size) == 3 else "cylinder"


@dataclass(frozen=True)
class Hinged:
    """A part that turns about a hinge of the object."""

    name: str  # of its body
    at: tuple[float, float, float]  # of the hinge, in the object's frame
    shapes: Sequence[Shape]  # in a frame with its origin at the hinge
    joint: dict[str, str] = field(default_factory=dict)  # attributes of the hinge


@dataclass(frozen=True)
class Contact:
    """How the surfaces of an object touch others."""

    density: float = 1000.0  # kg/m^3
    friction: tuple[float, float, float] = (1.0, 0.005, 0.0001)
    solref: tuple[float, float] = (0.02, 1.0)
    condim: int = 3

    @property
    def attributes(self) -> dict[str, str]:
        return {
            "density": str(self.density),
            "friction": array_to_string(self.friction),
            "solref": array_to_string(self.solref),
            "condim": str(self.condim),
        }


class ShapesObject(MujocoGeneratedObject):
    """A free body of shapes, with a hinged part if any; the origin is the middle of its height.

    Args:
        name: of the object and, before an underscore, of its parts.
        shapes: what it consists of.
        half_height: of the whole.
        radius: of the circle around it that nothing else may stand in when it is placed.
        contact: of its surfaces.
        materials: that its shapes name.
        hinged: the part that turns.
    """

    def __init__(
        self,
        name: str,
        shapes: Sequence[Shape],
        half_height: float,
        radius: float,
        contact: Contact = Contact(),
        materials: Sequence[CustomMaterial] = (),
        hinged: Hinged | None = None,
    ):
        super().__init__()
        self._name = name
        self._half_height, self._radius = half_height, radius
        for material in materials:
            self.append_material(material)
        self._obj = _body("main", shapes, contact)
        self._obj.append(new_joint(**FREE_JOINT))
        self._obj.append(new_site(**{**self.get_site_attrib_template(), "name": "default_site"}))
        if hinged is not None:
            part = _body(hinged.name, hinged.shapes, contact)
            part.set("pos", array_to_string(hinged.at))
            part.append(new_joint(name="hinge", type="hinge", **hinged.joint))
            self._obj.append(part)
        self._get_object_properties()

    @property
    def bottom_offset(self) -> np.ndarray:
        return np.array([0.0, 0.0, -self._half_height])

    @property
    def top_offset(self) -> np.ndarray:
        return np.array([0.0, 0.0, self._half_height])

    @property
    def horizontal_radius(self) -> float:
        return self._radius

    @property
    def free_joint(self) -> str:
        """Name of the joint that places the whole object."""
        return f"{self.naming_prefix}{FREE_JOINT['name']}"


def _body(name: str, shapes: Sequence[Shape], contact: Contact) -> Any:
    body = new_body(name=name)
    for index, shape in enumerate(shapes):
        form = {
            "type": shape.kind,
            "size": array_to_string(shape.size),
            "pos": array_to_string(shape.at),
            "quat": array_to_string((np.cos(shape.yaw / 2), 0.0, 0.0, np.sin(shape.yaw / 2))),
        }
        label = f"{name}_g{index}"
        if shape.is_solid:
            weight = {} if shape.mass is None else {"mass": str(shape.mass)}
            body.append(new_geom(name=label, group="0", **form, **contact.attributes, **weight))
        paint = {"material": shape.material} if shape.material else {"rgba": array_to_string(shape.rgba)}
        template = MujocoGeneratedObject.get_visual_attrib_template()
        body.append(new_geom(name=f"{label}_visual", **form, **template, **paint))
    return body


def wood(texture: str, name: str) -> CustomMaterial:
    """A material of one of robosuite's wood textures.

    Args:
        texture: robosuite's name, such as "WoodRed".
        name: of the texture in the model, after the object's prefix.
    """
    return CustomMaterial(
        texture=texture,
        tex_name=name,
        mat_name=f"{name}_mat",
        tex_attrib={"type": "cube"},
        mat_attrib={"texrepeat": "1 1", "specular": "0.4", "shininess": "0.1"},
    )
