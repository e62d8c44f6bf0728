"""Texture swaps on literal models."""

import pytest

from apo_core.tasks.specs import TASKS
from apo_sim_bridge.sim.appearance import TEXTURES, swap_textures, texture_files


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


@pytest.mark.parametrize(("background", "texture"), [("moon", "default"), ("default", "silk")])
def test_an_unknown_choice_is_an_error(background, texture):
    with pytest.raises(KeyError):
        texture_files(background, texture)
