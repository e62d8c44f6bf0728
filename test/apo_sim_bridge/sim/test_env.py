"""The simulated arm: frames, determinism, units, and what it rejects."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from apo_core.config.parameters import build
from apo_core.errors import ConfigError
from apo_core.tasks.expert import make_expert
from apo_core.tasks.specs import TASKS
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_sim_bridge.sim.env import SimConfig, SimEnv, controller_input
from apo_sim_bridge.sim.ground_truth import expert_input

STILL = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)


def perturbed(config=None, **changes) -> SimConfig:
    return SimConfig(**(config or {}), perturbation=build(Perturbation, changes, "sim_bridge.yaml"))


@pytest.fixture(scope="module")
def env():
    with SimEnv(SimConfig()) as made:
        yield made


def same(one, other) -> bool:
    return (
        all(np.array_equal(one.images[name], other.images[name]) for name in one.images)
        and all(np.array_equal(one.objects[name], other.objects[name]) for name in one.objects)
        and np.array_equal(one.joint_positions, other.joint_positions)
        and np.array_equal(one.joint_velocities, other.joint_velocities)
        and np.array_equal(one.ee_position, other.ee_position)
        and np.array_equal(one.ee_quaternion, other.ee_quaternion)
        and (one.gripper_width, one.success, one.step) == (other.gripper_width, other.success, other.step)
    )


def rollout(env, seed, steps=8):
    rng = np.random.default_rng(7)
    actions = rng.uniform(-0.5, 0.5, (steps, 7)).astype(np.float32)
    return [env.reset(seed), *(env.step(action) for action in actions)]


def test_frame_has_the_documented_shapes(env):
    frame = env.reset(0)
    assert list(frame.images) == ["agentview", "wrist"]
    for image in frame.images.values():
        assert image.shape == (84, 84, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
        assert image.std() > 5
    assert frame.joint_names == tuple(f"robot0_joint{index}" for index in range(1, 8))
    assert frame.joint_positions.shape == frame.joint_velocities.shape == (7,)
    assert frame.joint_positions.dtype == np.float64
    assert frame.ee_position.shape == (3,) and frame.ee_quaternion.shape == (4,)
    assert np.linalg.norm(frame.ee_quaternion) == pytest.approx(1.0)
    assert frame.ee_quaternion[np.argmax(np.abs(frame.ee_quaternion))] > 0
    assert 0.0 <= frame.gripper_width <= 0.08
    assert frame.objects["cube"].shape == (7,)
    assert (frame.step, frame.success, frame.truncated) == (0, False, False)


def test_images_are_upright(env):
    # seen from the front, the arm enters at the top and the red cube lies on the table below it
    image = env.reset(0).images["agentview"].astype(int)
    red = image[..., 0] - image[..., 1:].max(axis=-1) > 40
    assert red.any()
    assert np.nonzero(red)[0].mean() > 30


def test_same_seed_gives_identical_frames_whatever_ran_before(env):
    first = rollout(env, 3)
    rollout(env, 4, steps=15)
    second = rollout(env, 3)
    assert all(same(one, other) for one, other in zip(first, second, strict=True))
    with SimEnv(SimConfig()) as fresh:
        third = rollout(fresh, 3)
        # the older one still draws its own scene while two renderers are alive
        fourth = rollout(env, 3)
    assert all(same(one, other) for one, other in zip(first, third, strict=True))
    assert all(same(one, other) for one, other in zip(first, fourth, strict=True))


def test_a_frame_without_rendering_differs_in_its_images_alone(env):
    action = np.array([0.1, 0.0, -0.1, 0.0, 0.0, 0.5, 1.0])
    env.reset(5)
    bare, after = env.step(action, render=False), env.step(action)
    env.reset(5)
    seen, again = env.step(action), env.step(action)
    assert bare.images == {} and set(seen.images) == {"agentview", "wrist"}
    np.testing.assert_array_equal(bare.ee_position, seen.ee_position)
    np.testing.assert_array_equal(bare.objects["cube"], seen.objects["cube"])
    np.testing.assert_array_equal(after.images["wrist"], again.images["wrist"])


def test_other_seed_gives_another_episode(env):
    assert not np.array_equal(env.reset(0).objects["cube"], env.reset(1).objects["cube"])


@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (1, -1), (2, 1)])
def test_twist_moves_along_the_axes_of_the_base(env, axis, sign):
    start = env.reset(0)
    action = STILL.copy()
    action[axis] = sign * 0.4
    for _ in range(10):
        frame = env.step(action)
    moved = frame.ee_position - start.ee_position
    assert sign * moved[axis] > 0.02
    assert np.abs(np.delete(moved, axis)).max() < abs(moved[axis]) / 2
    assert frame.step == 10


def test_gripper_opens_at_minus_one_and_closes_at_plus_one(env):
    env.reset(0)
    for _ in range(12):
        frame = env.step(STILL)
    assert frame.gripper_width > 0.07
    for _ in range(20):
        frame = env.step(-STILL)
    assert frame.gripper_width < 0.01


def test_horizon_truncates_but_does_not_stop():
    with SimEnv(SimConfig(horizon=2, cameras={})) as short:
        short.reset(0)
        assert [short.step(STILL).truncated for _ in range(3)] == [False, True, True]


def test_expert_lifts_the_cube(env):
    expert = make_expert("Lift")
    frame = env.reset(11)
    for _ in range(100):
        frame = env.step(expert.act(expert_input(frame)))
        if frame.success:
            break
    assert frame.success


def test_expert_takes_over_after_a_random_policy(env):
    rng = np.random.default_rng(0)
    frame = env.reset(12)
    for _ in range(5):
        action = (rng.uniform(-1, 1, 7) * [0.5, 0.5, 0.5, 2, 2, 2, 1]).astype(np.float32)
        for _ in range(6):
            frame = env.step(action)
    expert = make_expert("Lift")
    for _ in range(150):
        frame = env.step(expert.act(expert_input(frame)))
        if frame.success:
            break
    assert frame.success


@pytest.mark.parametrize(
    ("task", "seed", "steps"),
    [
        ("Stack", 1, 150),
        ("NutAssemblySquare", 1, 250),
        ("Square", 1, 250),
        ("StackThree", 1, 250),
        ("ThreePieceAssembly", 1, 350),
        ("Coffee", 1, 300),
    ],
)
def test_experts_of_the_other_tasks(task, seed, steps):
    expert = make_expert(task)
    with SimEnv(SimConfig(task=task, cameras={})) as other:
        frame = other.reset(seed)
        assert tuple(frame.objects) == TASKS[task].objects
        for _ in range(steps):
            frame = other.step(expert.act(expert_input(frame)))
            if frame.success:
                break
    assert frame.success


@pytest.mark.parametrize(
    ("task", "side"), [("Square", 84), ("StackThree", 128), ("ThreePieceAssembly", 84), ("Coffee", 224)]
)
def test_frames_of_the_papers_tasks_repeat_with_the_seed(task, side):
    action = np.array([0.2, 0.1, -0.1, 0.0, 0.0, 0.5, 1.0])
    with SimEnv(SimConfig(task=task, camera_height=side, camera_width=side)) as one:
        first = [one.reset(3), one.step(action), one.step(action)]
        one.reset(4)
        second = [one.reset(3), one.step(action), one.step(action)]
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    assert all(image.shape == (side, side, 3) and image.std() > 5 for image in first[0].images.values())


def test_textures_change_the_picture_and_nothing_else(env):
    default = env.reset(0)
    config = perturbed(background="bricks", texture="wood_table_blue_object")
    with SimEnv(config) as changed:
        frame = changed.reset(0)
    assert np.array_equal(frame.objects["cube"], default.objects["cube"])
    assert np.array_equal(frame.joint_positions, default.joint_positions)
    difference = np.abs(frame.images["agentview"].astype(int) - default.images["agentview"].astype(int))
    assert difference.mean() > 5


def test_position_range_scale_spreads_the_objects():
    wide, still = (perturbed({"cameras": {}}, position_range_scale=scale) for scale in (4.0, 0.0))
    with SimEnv(wide) as spread, SimEnv(still) as fixed:
        far = np.array([spread.reset(seed).objects["cube"][:2] for seed in range(10)])
        near = np.array([fixed.reset(seed).objects["cube"][:2] for seed in range(3)])
    assert 0.03 < np.abs(far).max() <= 0.12
    np.testing.assert_allclose(near, 0.0, atol=1e-9)


def test_config_reports_every_fault_at_once():
    with pytest.raises(ConfigError) as caught:
        SimConfig(task="Door", camera_height=8, rate_hz=30.0, horizon=0, cameras={"front": 3})
    for name in ("task", "camera_height", "rate_hz", "horizon", "cameras"):
        assert name in str(caught.value)
    assert len(caught.value.faults) == 5
    with pytest.raises(ConfigError) as caught:
        perturbed(background="moon", position_range_scale=-1.0)
    assert len(caught.value.faults) == 2 and "background = 'moon'" in caught.value.faults[1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"camera_width": True}, "camera_width"),
        ({"cameras": {"front": 3}}, "cameras"),
    ],
)
def test_config_rejects(change, match):
    with pytest.raises(ConfigError, match=match):
        SimConfig(**change)


@pytest.mark.parametrize(
    ("task", "change", "match"),
    [
        ("Lift", {"position_range_scale": 7.0}, "position_range_scale = 7.0 is above its limit 6.0"),
        ("Stack", {"position_range_scale": 2.6}, r"position_range_scale = 2.6 must be in \[0.6, 2.5\]"),
        ("Lift", {"texture": "silk"}, "texture"),
        ("Lift", {"target_range_scale": 0.5}, "target_range_scale = 0.5 must be 0 for task 'Lift'"),
        ("Lift", {"moved_cameras": ["front"], "camera_turn_range_rad": 0.1}, r"moved_cameras: \['front'\] are no"),
    ],
)
def test_a_perturbation_that_does_not_fit_is_rejected(task, change, match):
    with pytest.raises(ConfigError, match=match):
        perturbed({"task": task}, **change)


def test_unknown_camera_is_named():
    with pytest.raises(ValueError, match=r"backview.*agentview"):
        SimEnv(SimConfig(cameras={"front": "backview"}))


def test_action_is_scaled_to_the_controller():
    np.testing.assert_allclose(controller_input(np.array([1, 0.5, 0, 10, -5, 0, 1])), [1, 0.5, 0, 1, -0.5, 0, 1])
    assert controller_input(np.array([1.0005, 0, 0, 0, 0, 0, 0]))[0] == 1.0


@pytest.mark.parametrize(
    ("action", "match"),
    [
        (np.zeros(6), "shape"),
        (np.zeros((1, 7)), "shape"),
        (np.array([np.nan, 0, 0, 0, 0, 0, 0]), "finite"),
        (np.array([1.1, 0, 0, 0, 0, 0, 0]), "exceeds"),
        (np.array([0, 0, 0, 0, 0, 10.1, 0]), "exceeds"),
    ],
)
def test_action_rejected(action, match):
    with pytest.raises(ValueError, match=match):
        controller_input(action)


def test_misuse_is_rejected(env):
    with pytest.raises(ValueError, match="seed = -1"):
        env.reset(-1)
    made = SimEnv(SimConfig(cameras={}))
    with pytest.raises(RuntimeError, match="before reset"):
        made.step(STILL)
    errors = []

    def elsewhere():
        try:
            made.reset(0)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "thread" in errors[0]
    made.close()
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made.reset(0)


def test_importing_does_not_load_the_simulator():
    code = (
        "import sys, apo_sim_bridge.sim.env, apo_sim_bridge.demonstrations.collect;"
        "sys.exit(any(name in sys.modules for name in ('robosuite', 'mujoco', 'torch', 'rclpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
