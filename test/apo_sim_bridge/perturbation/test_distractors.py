"""Distractors: shapes, places, and their part of the model."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from apo_sim_bridge.perturbation.distractors import (
    MAX_HALF_SIZE,
    Circle,
    Distractor,
    Shape,
    add_distractors,
    draw_distractors,
)

LOW, HIGH = (-0.4, -0.4), (0.4, 0.4)
CUBE = Circle(np.array([0.0, 0.0]), 0.035)


def lay(seed, count=5, taken=(CUBE,)):
    return draw_distractors(count, LOW, HIGH, taken, seed)


def test_they_lie_apart_and_away_from_the_task():
    for seed in range(60):
        laid = lay(seed)
        for index, one in enumerate(laid):
            assert np.linalg.norm(one.position - CUBE.centre) >= one.radius + CUBE.radius + 0.08
            assert (one.position >= [-0.22, -0.25]).all() and (one.position <= [0.18, 0.25]).all()
            for other in laid[:index]:
                assert np.linalg.norm(one.position - other.position) >= one.radius + other.radius


def test_shapes_colours_and_sizes_vary():
    every = [one for seed in range(40) for one in lay(seed)]
    assert {one.shape for one in every} == set(Shape)
    assert all(0.015 <= size <= MAX_HALF_SIZE for one in every for size in one.half_size)
    assert np.array([one.rgb for one in every]).std(axis=0).min() > 0.15


def test_the_same_seed_lays_the_same():
    first, second, other = lay(3), lay(3), lay(4)
    assert [one.position.tolist() for one in first] == [one.position.tolist() for one in second]
    assert first[0].position.tolist() != other[0].position.tolist()


def test_without_room_they_are_parked():
    assert [one.position for one in lay(0, taken=(Circle(np.zeros(2), 1.0),))] == [None] * 5


def test_a_large_object_leaves_the_rest_of_the_table():
    frame = Circle(np.array([0.0, 0.0]), 0.134)
    laid = [one for seed in range(30) for one in lay(seed, 3, (frame,))]
    assert all(one.position is None or np.linalg.norm(one.position) >= 0.214 + one.radius for one in laid)
    assert sum(one.position is not None for one in laid) > 60


@pytest.mark.parametrize(
    ("shape", "half_size", "mass", "inertia", "radius"),
    [
        (Shape.BOX, (0.02, 0.03, 0.01), 0.0192, (6.4e-6, 3.2e-6, 8.32e-6), 0.0360555),
        (Shape.CYLINDER, (0.02, 0.02, 0.03), 0.0301593, (1.2063716e-5, 1.2063716e-5, 6.0318579e-6), 0.02),
        (Shape.SPHERE, (0.03, 0.03, 0.03), 0.0452389, (1.6286016e-5,) * 3, 0.03),
    ],
)
def test_mass_and_inertia_are_those_of_wood(shape, half_size, mass, inertia, radius):
    one = Distractor(shape, np.array(half_size), np.zeros(3), np.zeros(2), 0.0)
    assert one.mass == pytest.approx(mass, rel=1e-5) and one.radius == pytest.approx(radius, rel=1e-5)
    np.testing.assert_allclose(one.inertia, inertia, rtol=1e-5)


def test_each_is_a_free_body_of_the_model():
    xml = "<mujoco><worldbody><body name='cube'/></worldbody></mujoco>"
    bodies = list(ElementTree.fromstring(add_distractors(xml, 2)).iter("body"))
    assert [body.get("name") for body in bodies] == ["cube", "distractor0", "distractor1"]
    assert bodies[1].find("freejoint") is not None and bodies[1].get("pos") != bodies[2].get("pos")
    assert add_distractors(xml, 0) == xml
    with pytest.raises(ValueError, match="no worldbody"):
        add_distractors("<mujoco/>", 1)
