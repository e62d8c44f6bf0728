"""What an episode draws."""

import numpy as np

from apo_core.config.parameters import build
from apo_core.tasks.task_spec import MovableTarget
from apo_sim_bridge.perturbation.draws import draw_scene, draw_target
from apo_sim_bridge.perturbation.settings import Perturbation

TARGET = MovableTarget("peg1", low=(0.1, 0.0), high=(0.2, 0.2), clearance=0.15)


def draw(seed=3, **values):
    return draw_scene(build(Perturbation, values, "sim_bridge.yaml"), seed)


def test_nothing_is_drawn_of_the_usual_setting():
    scene = draw()
    assert scene.light_factors.tolist() == [1.0, 1.0, 1.0] and scene.light_turn_rad.tolist() == [0.0, 0.0, 0.0]
    assert scene.cameras["agentview"].offset_m.tolist() == scene.cameras["agentview"].turn_rad.tolist() == [0, 0, 0]
    assert (scene.friction, scene.gripper_friction, scene.mass) == (1.0, 1.0, 1.0)


def test_fixed_values_are_taken_as_they_are():
    scene = draw(
        light_intensity=[0.5, 0.5],
        light_tint=[1.0, 0.8, 0.0],
        camera_offset_m=[0.1, 0.0, -0.2],
        camera_turn_rad=[0.0, 0.3, 0.0],
        mass_scale=[2.0, 2.0],
    )
    np.testing.assert_allclose(scene.light_factors, [0.5, 0.4, 0.0])
    assert scene.cameras["agentview"].offset_m.tolist() == [0.1, 0.0, -0.2]
    assert scene.cameras["agentview"].turn_rad.tolist() == [0.0, 0.3, 0.0]
    assert scene.mass == 2.0


def test_draws_stay_in_their_ranges_and_differ_by_seed():
    values = {
        "light_intensity": [0.3, 1.5],
        "camera_offset_m": [0.1, 0.0, 0.0],
        "camera_offset_range_m": 0.05,
        "friction_scale": [0.5, 0.7],
        "moved_cameras": ["agentview", "wrist"],
    }
    scenes = [draw(seed, **values) for seed in range(50)]
    intensities = [scene.light_factors[0] for scene in scenes]
    assert 0.3 <= min(intensities) < 0.5 and 1.3 < max(intensities) <= 1.5
    offsets = np.array([scene.cameras["wrist"].offset_m for scene in scenes])
    assert np.abs(offsets - [0.1, 0.0, 0.0]).max() <= 0.05 and offsets.std(axis=0).min() > 0.01
    assert not np.array_equal(scenes[0].cameras["agentview"].offset_m, scenes[0].cameras["wrist"].offset_m)
    assert all(0.5 <= scene.friction <= 0.7 for scene in scenes)
    assert draw(7, **values).friction == draw(7, **values).friction


def test_one_kind_changes_no_other():
    alone = draw(friction_scale=[0.5, 2.0])
    beside = draw(friction_scale=[0.5, 2.0], light_intensity=[0.2, 2.0], camera_turn_range_rad=0.2)
    assert alone.friction == beside.friction


def test_a_target_moves_within_its_range():
    places = np.array([draw_target(TARGET, (0.2, 0.1), 1.0, [], seed) for seed in range(100)])
    assert (places >= [0.1, 0.0]).all() and (places <= [0.2, 0.2]).all()
    assert np.ptp(places, axis=0).min() > 0.08
    half = np.array([draw_target(TARGET, (0.2, 0.1), 0.5, [], seed) for seed in range(100)])
    assert (half >= [0.15, 0.05]).all() and (half <= [0.2, 0.15]).all()


def test_a_target_stays_clear_of_the_objects():
    others = [np.array([0.1, 0.0])]
    places = [draw_target(TARGET, (0.2, 0.1), 1.0, others, seed) for seed in range(50)]
    assert min(np.linalg.norm(place - others[0]) for place in places) >= 0.15


def test_a_target_without_room_takes_the_farthest_place():
    crowd = [np.array([x, y]) for x in (0.1, 0.2) for y in (0.0, 0.1, 0.2)]
    place = draw_target(TARGET, (0.2, 0.1), 1.0, crowd, 1)
    assert 0.05 < min(np.linalg.norm(place - other) for other in crowd) < 0.075
