"""Nut and peg: where the nut starts, and what counts as inserted."""

import numpy as np
import pytest

from apo_sim_bridge.models.square import SquareModel


def test_the_nut_starts_in_its_box_with_any_yaw(stage):
    world, yaws = stage(SquareModel), []
    for seed in range(20):
        world.reset(seed)
        nut = world.pose("SquareNut_main")
        assert -0.115 <= nut[0] <= -0.110 and 0.110 <= nut[1] <= 0.225
        yaws.append(2 * np.arctan2(nut[6], nut[3]) % (2 * np.pi))
    assert np.ptp(yaws) > np.pi
    np.testing.assert_allclose(world.pose("peg1")[:2], [0.23, 0.10])


@pytest.mark.parametrize(("x", "reward"), [(0.23, 1.0), (0.0, 0.0)], ids=["around the peg", "on the table"])
def test_success_needs_the_nut_around_the_peg(stage, x, reward):
    world = stage(SquareModel)
    world.put("SquareNut_joint0", x, 0.10, 0.86, 1.0, 0.0, 0.0, 0.0)
    assert world.settles_to(200) == reward
