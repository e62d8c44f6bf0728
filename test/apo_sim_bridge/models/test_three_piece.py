"""Three pieces: where they start, and what counts as assembled."""

import numpy as np
import pytest

from apo_sim_bridge.models.three_piece import ThreePieceModel

TURNED = (np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5))  # quaternion wxyz, a quarter turn about z
PIECES = ("base_main", "piece1_main", "piece2_main")


def test_pieces_start_in_a_ring_around_the_base(stage):
    world = stage(ThreePieceModel)
    for seed in range(20):
        world.reset(seed)
        base, first, second = (world.pose(name) for name in PIECES)
        assert base[:2].tolist() == [0.0, 0.0]
        assert np.linalg.norm(first[:2]) > 0.206 and np.linalg.norm(second[:2]) > 0.219
        assert np.abs([first[:2], second[:2]]).max() <= 0.22
        np.testing.assert_allclose([first[3:], second[3:]], [TURNED] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "reward"),
    [
        ((0.0, 0.0, 0.851), (0.0, 0.0, 0.918), 1.0),
        ((0.2, 0.2, 0.851), (0.0, 0.0, 0.918), 0.0),
        ((0.0, 0.0, 0.851), (-0.2, 0.2, 0.880), 0.0),
    ],
    ids=["assembled", "without the first", "without the second"],
)
def test_success_needs_both_pieces_in_place(stage, first, second, reward):
    world = stage(ThreePieceModel)
    world.put("piece1_free", *first, *TURNED)
    world.put("piece2_free", *second, *TURNED)
    assert world.settles_to() == reward


def test_rest_heights_pass_by_a_millimetre(stage):
    world = stage(ThreePieceModel)
    world.put("piece1_free", 0.0, 0.0, 0.852, *TURNED)
    world.put("piece2_free", 0.0, 0.0, 0.920, *TURNED)
    world.settles_to(300)
    heights = [world.pose(name)[2] for name in PIECES]
    assert heights == pytest.approx([0.819, 0.851, 0.918], abs=1e-3)


def test_masses_are_those_of_the_paper(stage):
    model = stage(ThreePieceModel).env.sim.model
    masses = [model.body_mass[model.body_name2id(name)] for name in PIECES]
    assert masses == pytest.approx([8.78, 0.059, 0.141], rel=5e-3)
