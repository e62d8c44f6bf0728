"""Where objects belong, and when they are there."""

import numpy as np
import pytest

from apo_core.tasks import goals


def pose(x=0.0, y=0.0, z=0.0, yaw=0.0):
    return np.array([x, y, z, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])


def test_one_object_belongs_on_another():
    place, placed = goals.on_top_of("below", 0.045)
    objects = {"below": pose(0.1, 0.0, 0.825)}
    np.testing.assert_allclose(place(pose(), objects), [0.1, 0.0, 0.87])
    assert placed(pose(0.1, 0.02, 0.872), objects)
    assert not placed(pose(0.1, 0.04, 0.87), objects)
    assert not placed(pose(0.1, 0.0, 0.89), objects)


def test_its_height_may_be_that_of_a_third():
    place, _ = goals.on_top_of("base", 0.099, "piece1")
    objects = {"base": pose(0.0, 0.0, 0.819), "piece1": pose(0.004, -0.003, 0.851)}
    np.testing.assert_allclose(place(pose(), objects), [0.004, -0.003, 0.918])


def test_a_holder_is_in_the_frame_of_its_body():
    place, placed = goals.inside_of("machine", (0.0, 0.106, 0.0706), drop=0.02, aside=0.0052)
    objects = {"machine": pose(0.0, -0.1, 0.9105, np.deg2rad(-30))}
    np.testing.assert_allclose(place(pose(), objects), [0.053, -0.0082, 1.0011], atol=1e-4)
    assert placed(pose(0.053, -0.0082, 0.981), objects)
    assert not placed(pose(0.053, -0.0082, 1.0011), objects)
    assert not placed(pose(0.06, -0.0082, 0.981), objects)


@pytest.mark.parametrize(("height", "lifted"), [(0.82, False), (0.845, True)])
def test_a_lifted_cube_is_above_the_table(height, lifted):
    assert goals.lifted(pose(0.0, 0.0, height), {}) is lifted
    assert goals.never(pose(0.0, 0.0, height), {}) is False
