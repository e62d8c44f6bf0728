"""Three cubes: where they start, and what counts as stacked."""

import numpy as np
import pytest

from apo_sim_bridge.models.stack_three import StackThreeModel

CUBES = ("cubeA_main", "cubeB_main", "cubeC_main")


def test_cubes_start_apart_within_the_range(stage):
    world = stage(StackThreeModel)
    for seed in range(20):
        world.reset(seed)
        a, b, c = (world.pose(name)[:2] for name in CUBES)
        assert np.abs([a, b, c]).max() <= 0.10
        assert min(np.linalg.norm(a - b), np.linalg.norm(b - c)) > 0.0636
        assert np.linalg.norm(a - c) > 0.0565


def put(world, name: str, x: float, z: float) -> None:
    world.put(f"{name}_joint0", x, 0.0, z, 1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("places", "reward"),
    [
        ({"cubeB": (0.0, 0.825), "cubeA": (0.0, 0.870), "cubeC": (0.0, 0.910)}, 1.0),
        ({"cubeB": (0.0, 0.825), "cubeC": (0.0, 0.870), "cubeA": (0.0, 0.910)}, 0.0),
        ({"cubeB": (0.0, 0.825), "cubeA": (0.0, 0.870), "cubeC": (0.15, 0.820)}, 0.0),
    ],
    ids=["blue on red on green", "red on blue on green", "blue beside"],
)
def test_success_needs_blue_on_red_on_green(stage, places, reward):
    world = stage(StackThreeModel)
    for name, (x, z) in places.items():
        put(world, name, x, z)
    assert world.settles_to() == reward


def test_masses_are_those_of_the_paper(stage):
    model = stage(StackThreeModel).env.sim.model
    masses = [model.body_mass[model.body_name2id(name)] for name in CUBES]
    assert masses == pytest.approx([0.064, 0.125, 0.064], abs=1e-4)
