"""Texture swaps for robustness tests: which robosuite texture files replace the default ones."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import PurePosixPath

from apo_core.tasks.specs import TASKS

_FLOOR, _WALLS, _TABLE = "texplane", "tex-light-gray-plaster", "tex-ceramic"
_BLUE = {name: file for spec in TASKS.values() for name, file in spec.recoloured.items()}

# name of a background -> texture of the floor and the walls
BACKGROUNDS: dict[str, dict[str, str]] = {
    "default": {},
    "bricks": {_FLOOR: "wood-tiles.png", _WALLS: "white-bricks.png"},
    "yellow": {_FLOOR: "clay.png", _WALLS: "yellow-plaster.png"},
    "dark": {_FLOOR: "dark-wood.png", _WALLS: "gray-felt.png"},
}
# name of a texture -> texture of the table and of the object to grasp
TEXTURES: dict[str, dict[str, str]] = {
    "default": {},
    "wood_table": {_TABLE: "light-wood.png"},
    "dark_table": {_TABLE: "dark-wood.png"},
    "blue_object": _BLUE,
    "wood_table_blue_object": {_TABLE: "light-wood.png", **_BLUE},
}


def texture_files(background: str, texture: str) -> dict[str, str]:
    """Texture name in the model -> file name, for both choices together. Raises KeyError for an unknown choice."""
    return {**BACKGROUNDS[background], **TEXTURES[texture]}


def swap_textures(xml: str, files: Mapping[str, str]) -> str:
    """The model with texture files replaced by others of the same folder.

    A texture matches by its name, or by what follows the object's prefix ("cube_redwood" matches "redwood").
    """
    if not files:
        return xml
    root = ElementTree.fromstring(xml)
    for texture in root.iter("texture"):
        name = texture.get("name") or ""
        replacement = files.get(name) or files.get(name.partition("_")[2])
        file = texture.get("file")
        if replacement and file:
            texture.set("file", str(PurePosixPath(file).with_name(replacement)))
    return ElementTree.tostring(root, encoding="unicode")
