"""Other textures of floor, walls, table and objects: which files of robosuite take the place of the usual ones."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from apo_core.tasks.specs import TASKS

_FLOOR, _WALLS, _TABLE = "texplane", "tex-light-gray-plaster", "tex-ceramic"
_COVER = "perturbed_object"  # texture and material
_OBJECTS = "<objects>"  # stands for every texture of every object of the task
_BLUE = {name: file for spec in TASKS.values() for name, file in spec.recoloured.items()}

# name of a background -> texture of the floor and the walls
BACKGROUNDS: dict[str, dict[str, str]] = {
    "default": {},
    "bricks": {_FLOOR: "wood-tiles.png", _WALLS: "white-bricks.png"},
    "yellow": {_FLOOR: "clay.png", _WALLS: "yellow-plaster.png"},
    "dark": {_FLOOR: "dark-wood.png", _WALLS: "gray-felt.png"},
    # what the camera sees around the objects is the table's top, most of all
    "grey": {_FLOOR: "gray-felt.png", _WALLS: "gray-plaster.png", _TABLE: "gray-plaster.png"},
}
# name of a texture -> texture of the table and of the objects; the table's wins over that of a background
TEXTURES: dict[str, dict[str, str]] = {
    "default": {},
    "wood_table": {_TABLE: "light-wood.png"},
    "dark_table": {_TABLE: "dark-wood.png"},
    "blue_object": _BLUE,
    "wood_table_blue_object": {_TABLE: "light-wood.png", **_BLUE},
    "grey_table": {_TABLE: "gray-plaster.png"},
    "wood_objects": {_OBJECTS: "wood-varnished-panels.png"},
}


def texture_files(background: str, texture: str) -> dict[str, str]:
    """Texture name in the model -> file name, for both choices together. Raises KeyError for an unknown choice."""
    return {**BACKGROUNDS[background], **TEXTURES[texture]}


def swap_textures(xml: str, files: Mapping[str, str], bodies: Collection[str] = ()) -> str:
    """The model with texture files replaced by others of the same folder.

    A texture matches by its name, or by what follows the object's prefix ("cube_redwood", "piece_1_redwood" match
    "redwood").

    Args:
        xml: the model.
        files: name of a texture -> file in its place, as `texture_files` returns it.
        bodies: names of the task's bodies; those that a joint moves are its objects.
    """
    if not files:
        return xml
    root = ElementTree.fromstring(xml)
    folder = PurePosixPath()
    for texture in root.iter("texture"):
        file = texture.get("file")
        if not file:
            continue
        folder = PurePosixPath(file).parent
        replacement = _replacement(texture.get("name") or "", files)
        if replacement:
            texture.set("file", str(folder / replacement))
    if _OBJECTS in files:
        _cover_objects(root, str(folder / files[_OBJECTS]), bodies)
    return ElementTree.tostring(root, encoding="unicode")


def _replacement(name: str, files: Mapping[str, str]) -> str | None:
    return next((file for known, file in files.items() if name == known or name.endswith(f"_{known}")), None)


def _cover_objects(root: ElementTree.Element, file: str, bodies: Collection[str]) -> None:
    """Gives every visible geom of the bodies that a joint moves one material, whatever it had: texture or colour."""
    asset = root.find("asset")
    if asset is None:
        asset = ElementTree.SubElement(root, "asset")
    ElementTree.SubElement(asset, "texture", name=_COVER, type="cube", file=file)
    ElementTree.SubElement(asset, "material", name=_COVER, texture=_COVER, specular="0.4", shininess="0.1")
    for body in root.iter("body"):
        if body.get("name") in bodies and (body.find("joint") is not None or body.find("freejoint") is not None):
            for geom in body.iter("geom"):
                if geom.get("group") == "1":
                    geom.set("material", _COVER)
                    geom.attrib.pop("rgba", None)
