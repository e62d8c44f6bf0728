"""Effects of the perturbations on the simulated model: pictures, poses, friction and mass."""

from contextlib import contextmanager

import numpy as np
import pytest

from apo_core.config.parameters import build
from apo_core.tasks.expert import make_expert
from apo_core.tasks.specs import TASKS
from apo_sim_bridge.perturbation.distractors import Shape
from apo_sim_bridge.perturbation.model import is_needed
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_sim_bridge.sim.env import SimConfig, SimEnv
from apo_sim_bridge.sim.ground_truth import expert_input

STILL = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
SEED = 5


@contextmanager
def simulation(task="Lift", **changes):
    with SimEnv(SimConfig(task=task, perturbation=build(Perturbation, changes, "sim_bridge.yaml"))) as env:
        yield env


@pytest.fixture(scope="module")
def usual():
    with simulation() as env:
        yield env


@pytest.fixture
def start(usual):
    return usual.reset(SEED)


def brightness(image) -> np.ndarray:
    """Mean of red, green and blue."""
    return image.reshape(-1, 3).mean(axis=0)


def same_state(one, other) -> bool:
    return (
        np.array_equal(one.joint_positions, other.joint_positions)
        and np.array_equal(one.ee_position, other.ee_position)
        and all(np.array_equal(one.objects[name], other.objects[name]) for name in one.objects)
    )


def difference(one, other, camera="agentview") -> float:
    return float(np.abs(one.images[camera].astype(int) - other.images[camera].astype(int)).mean())


def rollout(env, seed=SEED, steps=10):
    rng = np.random.default_rng(7)
    actions = rng.uniform(-0.5, 0.5, (steps, 7)).astype(np.float32)
    return [env.reset(seed), *(env.step(action) for action in actions)]


def test_values_that_change_nothing_give_the_same_bits(usual):
    # the range is empty but the perturber runs: its own draws must not reach the episode
    with simulation(moved_cameras=["wrist"]) as env:
        pairs = list(zip(rollout(usual), rollout(env), strict=True))
    assert all(same_state(one, other) for one, other in pairs)
    assert all(difference(one, other, camera) == 0 for one, other in pairs for camera in ("agentview", "wrist"))


@pytest.mark.parametrize(
    "changes",
    [
        {"distractors": 5},
        {"mass_scale": [0.5, 3.0], "friction_scale": [0.3, 1.0]},
        {"light_intensity": [0.3, 1.0], "camera_offset_range_m": 0.05, "light_turn_range_rad": 0.5},
    ],
)
def test_an_episode_depends_on_its_seed_alone(changes):
    with simulation(**changes) as env:
        first = rollout(env)
        rollout(env, seed=6, steps=25)
        second = rollout(env)
    with simulation(**changes) as fresh:
        third = rollout(fresh)
    for again in (second, third):
        assert all(same_state(one, other) for one, other in zip(first, again, strict=True))
        assert all(difference(one, other) == 0 for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize(("values", "sign"), [({"light_intensity": [0.4, 0.4]}, -1), ({"headlight": 2.0}, 1)])
def test_light_makes_the_picture_darker_or_brighter(start, values, sign):
    with simulation(**values) as env:
        frame = env.reset(SEED)
    assert same_state(frame, start)
    for camera, image in frame.images.items():
        assert (sign * (brightness(image) - brightness(start.images[camera])) > 3).all()  # the table is almost white


def test_a_tint_takes_its_colour_away(start):
    with simulation(light_tint=[1.0, 0.8, 0.4]) as env:
        frame = env.reset(SEED)
    red, green, blue = brightness(frame.images["agentview"]) / brightness(start.images["agentview"])
    assert red == 1.0 and 0.8 < green < 0.98 and blue < 0.6


def test_turned_lamps_change_the_picture_alone(start):
    with simulation(light_turn_rad=[0.8, 0.0, 0.0]) as env:
        frame = env.reset(SEED)
        direction = env.model.light_dir[0] / np.linalg.norm(env.model.light_dir[0])
    assert same_state(frame, start) and difference(frame, start) > 0.5
    before = np.array([-0.2, -0.2, -1.0])
    turned = [before[0], before[1] * np.cos(0.8) - before[2] * np.sin(0.8), before[1] * np.sin(0.8) - np.cos(0.8)]
    np.testing.assert_allclose(direction, turned / np.linalg.norm(before), atol=1e-6)


def red_centre(image) -> np.ndarray:
    """Row and column of the red cube."""
    red = image[..., 0].astype(int) - image[..., 1:].max(axis=-1) > 40
    return np.argwhere(red).mean(axis=0)


def test_a_camera_moves_along_its_own_axes(start):
    with simulation(camera_offset_m=[0.05, 0.0, 0.0]) as env:
        right = env.reset(SEED)
    with simulation(camera_offset_m=[0.0, 0.05, 0.0]) as env:
        up = env.reset(SEED)
    usual = red_centre(start.images["agentview"])
    assert red_centre(right.images["agentview"])[1] < usual[1] - 2  # what it sees goes left
    assert red_centre(up.images["agentview"])[0] > usual[0] + 2  # what it sees goes down
    assert same_state(right, start) and difference(right, start, "wrist") == 0


def test_a_camera_turns_about_its_own_axes(start):
    with simulation(camera_turn_rad=[0.0, 0.0, 0.5]) as env:
        rolled = env.reset(SEED)
    with simulation(camera_turn_rad=[0.1, 0.0, 0.0]) as env:
        pitched = env.reset(SEED)
    assert red_centre(pitched.images["agentview"])[0] > red_centre(start.images["agentview"])[0] + 4
    assert difference(rolled, start) > 5


def test_the_camera_of_the_hand_moves_with_the_hand(start):
    with simulation(moved_cameras=["wrist"], camera_offset_range_m=0.03) as env:
        frames = [env.reset(seed) for seed in (SEED, SEED + 1)]
        places = [env.model.cam_pos[env.model.camera("robot0_eye_in_hand").id].copy()]
        env.reset(SEED)
        places.append(env.model.cam_pos[env.model.camera("robot0_eye_in_hand").id].copy())
    assert difference(frames[0], start, "wrist") > 2 and difference(frames[0], start, "agentview") < 1
    assert not np.array_equal(places[0], places[1])


def test_mass_and_friction_are_scaled(usual):
    usual.reset(SEED)
    before = usual.model
    cube = before.body("cube_main").id
    with simulation(mass_scale=[3.0, 3.0], friction_scale=[0.5, 0.5], gripper_friction_scale=[0.8, 0.8]) as env:
        env.reset(SEED)
        after = env.model
        assert after.body_mass[cube] == pytest.approx(3 * before.body_mass[cube])
        np.testing.assert_allclose(after.body_inertia[cube], 3 * before.body_inertia[cube])
        assert after.body_subtreemass[cube] == pytest.approx(3 * before.body_subtreemass[cube])
        assert after.body_invweight0[cube, 0] == pytest.approx(before.body_invweight0[cube, 0] / 3)
        hand = after.body("robot0_link7").id
        assert after.body_mass[hand] == before.body_mass[hand]
        fingers = [i for i in range(after.ngeom) if after.body(after.geom_bodyid[i]).name.startswith("gripper")]
        others = [i for i in range(after.ngeom) if i not in fingers]
        assert fingers and others
        np.testing.assert_allclose(after.geom_friction[fingers], 0.4 * before.geom_friction[fingers])
        np.testing.assert_allclose(after.geom_friction[others], 0.5 * before.geom_friction[others])


def test_a_slippery_cube_slips_out_of_the_hand():
    heights = {}
    for scale in (1.0, 0.05):
        with simulation(friction_scale=[scale, scale], mass_scale=[10.0, 10.0], position_range_scale=0.0) as env:
            expert, frame = make_expert("Lift"), env.reset(SEED)
            for _ in range(70):
                frame = env.step(expert.act(expert_input(frame)), render=False)
            heights[scale] = frame.objects["cube"][2]
    assert heights[1.0] > 0.88 and heights[0.05] < 0.85


def test_the_peg_moves_at_each_reset():
    spec = TASKS["NutAssemblySquare"]
    with simulation("NutAssemblySquare", target_range_scale=1.0) as env, simulation("NutAssemblySquare") as plain:
        frames, before = [env.reset(seed) for seed in range(12)], plain.reset(3)
        again = env.reset(3)
    pegs = np.array([frame.objects["peg1"] for frame in frames])
    nuts = np.array([frame.objects["SquareNut"] for frame in frames])
    assert (pegs[:, :2] >= spec.target.low).all() and (pegs[:, :2] <= spec.target.high).all()
    assert np.ptp(pegs[:, 0]) > 0.05 and np.ptp(pegs[:, 1]) > 0.07
    np.testing.assert_allclose(pegs[:, 2:], np.tile(before.objects["peg1"][2:], (12, 1)))
    assert np.linalg.norm((pegs - nuts)[:, :2], axis=1).min() >= 0.15
    np.testing.assert_array_equal(again.objects["peg1"], frames[3].objects["peg1"])
    np.testing.assert_array_equal(nuts[3], before.objects["SquareNut"])
    assert difference(frames[3], before) > 0.5


def test_the_expert_reaches_a_moved_peg():
    with simulation("NutAssemblySquare", target_range_scale=1.0) as env:
        expert, frame = make_expert("NutAssemblySquare"), env.reset(2)
        assert np.abs(frame.objects["peg1"][:2] - [0.23, 0.1]).max() > 0.02
        for _ in range(300):
            frame = env.step(expert.act(expert_input(frame)), render=False)
            if frame.success:
                break
    assert frame.success


@pytest.mark.parametrize("task", TASKS)
def test_distractors_lie_still_beside_the_task(task):
    with simulation(task, distractors=5) as env, simulation(task) as plain:
        before, frame = plain.reset(SEED), env.reset(SEED)
        for name in before.objects:
            np.testing.assert_allclose(frame.objects[name], before.objects[name], atol=1e-9)
        bodies = [env.model.body(f"distractor{index}").id for index in range(5)]
        places = env.data.xpos[bodies].copy()
        for _ in range(20):
            after = env.step(STILL, render=False)
            plain_after = plain.step(STILL, render=False)
        moved = np.linalg.norm(env.data.xpos[bodies] - places, axis=1)
        on_table = np.abs(places[:, :2]).max(axis=1) < 0.4
    assert on_table.sum() >= 4
    assert moved[on_table].max() < 0.005  # they settle from a millimetre above the table
    for name in before.objects:
        np.testing.assert_allclose(after.objects[name], plain_after.objects[name], atol=2e-3)
    assert difference(frame, before) > 0.5
    for place in places[on_table]:
        for pose in before.objects.values():
            assert np.linalg.norm(place[:2] - pose[:2]) > 0.1


def test_each_reset_lays_other_shapes():
    with simulation(distractors=3) as env:
        model, kinds, colours = env.model, set(), set()
        for seed in range(12):
            env.reset(seed)
            for index in range(3):
                geom = model.geom(f"distractor{index}").id
                kinds.add(int(model.geom_type[geom]))
                colours.add(tuple(model.geom_rgba[geom]))
    assert len(kinds) == len(Shape) and len(colours) == 36


def test_a_hand_pushes_a_distractor():
    with simulation(distractors=1) as env:
        env.reset(SEED)
        body = env.model.body("distractor0").id
        place = env.data.xpos[body].copy()
        frame = env.step(-STILL)
        for step in range(150):
            beside, above, beyond = (place + np.array([x, 0.0, z]) for x, z in ((-0.09, 0), (-0.09, 0.1), (0.1, 0)))
            goal = above if step < 50 else beside if step < 90 else beyond
            twist = np.clip(5 * (goal - frame.ee_position), -0.4, 0.4)
            frame = env.step(np.array([*twist, 0, 0, 0, 1.0], np.float32), render=False)
        assert env.data.xpos[body, 0] - place[0] > 0.03


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"observation_delay_steps": [2, 2], "background": "bricks", "position_range_scale": 0.5}, False),
        ({"distractors": 1}, True),
        ({"target_range_scale": 0.1}, True),
        ({"moved_cameras": ["wrist"]}, True),
        ({"headlight": 0.5}, True),
    ],
)
def test_only_what_changes_the_model_runs_at_a_reset(changes, needed):
    assert is_needed(build(Perturbation, changes, "sim_bridge.yaml")) is needed
