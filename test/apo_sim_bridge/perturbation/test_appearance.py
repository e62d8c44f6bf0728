"""Texture swaps on literal models."""

import xml.etree.ElementTree as ElementTree

import pytest

from apo_core.tasks.specs import TASKS
from apo_sim_bridge.perturbation.appearance import TEXTURES, swap_textures, texture_files


def test_swap_textures_by_name_and_by_suffix():
    xml = (
        '<mujoco><asset><texture name="texplane" file="/a/floor.png"/><texture name="cube_redwood" file="/a/red.png"/>'
        '<texture name="tex-steel-brushed" file="/a/steel.png"/><texture builtin="flat"/></asset></mujoco>'
    )
    swapped = swap_textures(xml, texture_files("bricks", "blue_object"))
    assert "/a/wood-tiles.png" in swapped and "/a/blue-wood.png" in swapped and "/a/steel.png" in swapped
    assert swap_textures(xml, texture_files("default", "default")) == xml


def test_the_blue_object_is_that_of_every_task():
    for spec in TASKS.values():
        assert spec.recoloured.items() <= TEXTURES["blue_object"].items()
        assert spec.recoloured.items() <= TEXTURES["wood_table_blue_object"].items()


def test_background_and_texture_are_chosen_together():
    files = texture_files("dark", "dark_table")
    assert files == {
        "texplane": "dark-wood.png",
        "tex-light-gray-plaster": "gray-felt.png",
        "tex-ceramic": "dark-wood.png",
    }


def test_a_prefix_may_have_underscores():
    xml = '<mujoco><asset><texture name="piece_1_redwood" file="/a/red.png"/></asset></mujoco>'
    assert "/a/blue-wood.png" in swap_textures(xml, texture_files("default", "blue_object"))


def test_a_grey_background_is_that_of_the_table_too():
    assert texture_files("grey", "default")["tex-ceramic"] == "gray-plaster.png"
    assert texture_files("grey", "wood_table")["tex-ceramic"] == "light-wood.png"
    assert texture_files("default", "grey_table") == {"tex-ceramic": "gray-plaster.png"}


def test_wood_covers_what_moves_whatever_it_had():
    xml = """<mujoco><asset><texture name="tex-ceramic" file="/a/ceramic.png"/></asset><worldbody>
      <body name="piece"><freejoint/><geom name="p" group="1" rgba="1 0 0 1"/><geom name="hull" group="0"/>
        <body name="knob"><geom name="k" group="1" material="red"/></body></body>
      <body name="cube"><joint type="free"/><geom name="c" group="1" material="red"/></body>
      <body name="peg"><geom name="fixed" group="1" material="brass"/></body>
      <body name="arm"><joint/><geom name="a" group="1" material="white"/></body></worldbody></mujoco>"""
    root = ElementTree.fromstring(
        swap_textures(xml, texture_files("default", "wood_objects"), ("piece", "cube", "peg"))
    )
    materials = {geom.get("name"): geom.get("material") for geom in root.iter("geom")}
    cover = materials["p"]
    assert materials == {"p": cover, "hull": None, "k": cover, "c": cover, "fixed": "brass", "a": "white"}
    assert "rgba" not in next(geom for geom in root.iter("geom") if geom.get("name") == "p").attrib
    texture = next(each for each in root.iter("texture") if each.get("name") == cover)
    assert (texture.get("type"), texture.get("file")) == ("cube", "/a/wood-varnished-panels.png")


@pytest.mark.parametrize(("background", "texture"), [("moon", "default"), ("default", "silk")])
def test_an_unknown_choice_is_an_error(background, texture):
    with pytest.raises(KeyError):
        texture_files(background, texture)
