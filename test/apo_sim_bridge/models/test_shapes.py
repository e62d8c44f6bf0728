"""Objects of boxes and cylinders as MJCF."""

import pytest

pytest.importorskip("robosuite", reason="robosuite is missing: run 'make setup'")

from apo_sim_bridge.models.shapes import Contact, Hinged, Shape, ShapesObject, wood


def test_geoms_have_a_shape_to_touch_and_one_to_see():
    shapes = [Shape((0.1, 0.2, 0.3), (0.0, 0.0, 0.1), mass=2.0), Shape((0.05, 0.02), rgba=(1, 0, 0, 1), is_solid=False)]
    made = ShapesObject("thing", shapes, 0.4, 0.25, Contact(density=50.0, condim=4))
    box, seen, cylinder = made.get_obj().findall("geom")
    assert (box.get("type"), box.get("size"), box.get("group")) == ("box", "0.1 0.2 0.3", "0")
    assert (box.get("mass"), box.get("density"), box.get("condim")) == ("2.0", "50.0", "4")
    assert (seen.get("group"), seen.get("contype")) == ("1", "0")
    assert (cylinder.get("type"), cylinder.get("size"), cylinder.get("group")) == ("cylinder", "0.05 0.02", "1")
    assert made.contact_geoms == ["thing_main_g0"] and made.free_joint == "thing_free"
    assert made.bottom_offset.tolist() == [0.0, 0.0, -0.4] and made.horizontal_radius == 0.25


def test_a_hinged_part_is_a_body_of_its_own():
    part = Hinged("lid", (0.0, 0.1, 0.2), [Shape((0.1, 0.1, 0.01))], {"axis": "1 0 0", "range": "0 2"})
    made = ShapesObject("box", [Shape((0.1, 0.1, 0.1))], 0.1, 0.1, hinged=part)
    assert made.bodies == ["box_main", "box_lid"] and made.joints == ["box_free", "box_hinge"]
    lid = made.get_obj().find("body")
    assert lid.get("pos") == "0.0 0.1 0.2" and lid.find("joint").get("axis") == "1 0 0"


def test_textures_have_names_that_appearance_can_swap():
    shapes = [Shape((0.1, 0.1, 0.1), material="redwood_mat")]
    made = ShapesObject("piece1", shapes, 0.1, 0.1, materials=[wood("WoodRed", "redwood")])
    assert made.asset.find("texture").get("name").partition("_")[2] == "redwood"
    assert made.get_obj().findall("geom")[1].get("material") == made.asset.find("material").get("name")
