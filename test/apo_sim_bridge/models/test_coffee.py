"""Pod and machine: where they start, and what counts as coffee."""

import numpy as np
import pytest

from apo_sim_bridge.models.coffee import OPEN_ANGLE, CoffeeModel

HOLDER = (0.053, -0.0082)  # m, world, of the holder's axis
UPRIGHT = (1.0, 0.0, 0.0, 0.0)


def test_the_pod_starts_beside_the_fixed_machine(stage):
    world = stage(CoffeeModel)
    for seed in range(10):
        world.reset(seed)
        machine, pod = world.pose("machine_main"), world.pose("pod_main")
        np.testing.assert_allclose(machine[:3], [0.0, -0.1, 0.9105], atol=1e-6)
        assert 2 * np.arctan2(machine[6], machine[3]) == pytest.approx(np.deg2rad(-30))
        assert -0.13 <= pod[0] <= -0.07 and 0.17 <= pod[1] <= 0.23
        assert pod[2] == pytest.approx(0.8231)


def test_an_open_lid_stays_open_and_a_raised_one_falls_shut(stage):
    world = stage(CoffeeModel)
    data = world.env.sim.data
    assert data.get_joint_qpos("machine_hinge") == pytest.approx(OPEN_ANGLE)
    world.settles_to(300)
    assert data.get_joint_qpos("machine_hinge") > 2.0
    world.put("machine_hinge", np.deg2rad(80.0))
    world.settles_to(500)
    assert data.get_joint_qpos("machine_hinge") < 0.05


@pytest.mark.parametrize(
    ("place", "lid", "reward"),
    [((*HOLDER, 0.984), 0.0, 1.0), ((*HOLDER, 0.984), OPEN_ANGLE, 0.0), ((-0.1, 0.2, 0.8231), 0.0, 0.0)],
    ids=["inside and shut", "inside and open", "outside and shut"],
)
def test_success_needs_the_pod_inside_and_the_lid_shut(stage, place, lid, reward):
    world = stage(CoffeeModel)
    world.put("pod_free", *place, *UPRIGHT)
    world.put("machine_hinge", lid)
    assert world.settles_to(150) == reward


def test_a_dropped_pod_sits_on_the_floor_of_the_holder(stage):
    world = stage(CoffeeModel)
    world.put("pod_free", HOLDER[0] + 0.0005, HOLDER[1], 1.0, *UPRIGHT)
    world.settles_to(300)
    assert world.pose("pod_main")[2] == pytest.approx(0.981, abs=1.5e-3)


def test_masses_are_those_of_the_paper(stage):
    model = stage(CoffeeModel).env.sim.model
    mass = {name: model.body_mass[model.body_name2id(name)] for name in ("pod_main", "machine_main", "machine_lid")}
    assert mass["pod_main"] == pytest.approx(0.007, abs=5e-4)
    assert mass["machine_main"] + mass["machine_lid"] == pytest.approx(6.6, abs=0.1)
