"""Image encoders learn from pictures where a bright square is."""

import dataclasses

import numpy as np
import pytest
import torch
from small_policy import small_config

from apo_core.errors import ConfigError
from apo_experiments.base_policy.behaviour_cloning import Demonstrations, new_policy
from apo_experiments.base_policy.optimizer import OptimizerSettings
from apo_experiments.base_policy.vision_pretraining import (
    VisionErrors,
    copy_vision,
    keep_vision,
    kept_vision,
    pretrain_vision,
)
from apo_sim_bridge.demonstrations.scene_views import SceneViews
from apo_vla.families.small_vla.checkpoint import save_checkpoint

SHAPE = small_config(image_channels=(8, 8, 16), hidden=32, mlp=64, image_tokens=2)
SETTINGS = OptimizerSettings(
    steps=250, batch_size=32, learning_rate=3e-3, warmup_steps=10, weight_decay=0.01, max_grad_norm=1.0, seed=0
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def views(scenes: int = 40, frames: int = 10) -> SceneViews:
    """A bright square 4 pixels wide, -0.04 to 0.04 m off in x and y; the other targets are 0."""
    rng = np.random.default_rng(0)
    count = scenes * frames
    places = rng.integers(0, 13, (count, 2))
    images = rng.integers(0, 30, (count, 16, 16, 3), dtype=np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 4, column : column + 4] += 200
    targets = np.zeros((count, 9), np.float32)
    targets[:, :2] = places[:, ::-1] / 6 - 1
    targets[:, 6] = 1.0
    states = {"ee_pose": rng.normal(size=(count, 7)).astype(np.float32)}
    return SceneViews({"front": images}, states, targets, np.repeat(np.arange(scenes), frames))


def bars(scenes: int = 40, frames: int = 10) -> SceneViews:
    """A bright bar through the middle; the grasp turns with it and repeats every half turn."""
    rng = np.random.default_rng(0)
    count = scenes * frames
    yaw = rng.uniform(-np.pi / 2, np.pi / 2, count)
    y, x = np.mgrid[-7.5:8.0, -7.5:8.0]
    off = x * np.sin(yaw)[:, None, None] - y * np.cos(yaw)[:, None, None]
    grey = np.where(np.abs(off) < 2.0, 220, 20).astype(np.uint8)
    targets = np.zeros((count, 9), np.float32)
    targets[:, 6], targets[:, 7] = np.cos(2 * yaw), np.sin(2 * yaw)
    images = np.repeat(grey[..., None], 3, axis=3)
    return dataclasses.replace(views(scenes, frames), images={"front": images}, targets=targets)


def policy(seed=0, shape=SHAPE):
    seen = views(4, 5)
    demonstrations = Demonstrations(
        seen.images,
        seen.states,
        np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32),
        ("lift",) * 20,
        np.ones(20, np.int64),
    )
    return new_policy(shape, demonstrations, "abc", seed)


def test_it_finds_the_square_in_scenes_it_never_saw():
    steps = []
    trained = policy()
    decoder = {name: value.clone() for name, value in trained.model.language_model.state_dict().items()}
    errors = pretrain_vision(trained, views(), SETTINGS, (np.pi / 2,), lambda step, loss, seconds: steps.append(step))
    # a guess of the middle is 33 mm off
    assert errors.sideways_mm < 8.0 and errors.frames == 40
    assert steps == list(range(1, 251))
    assert not trained.model.training
    for name, value in trained.model.language_model.state_dict().items():
        assert torch.equal(value, decoder[name])


def test_it_finds_the_yaw():
    # a guess is 45 degrees off
    assert pretrain_vision(policy(), bars(), SETTINGS, (np.pi,)).yaw_deg < 8.0


def test_the_same_seed_gives_the_same_weights():
    settings = dataclasses.replace(SETTINGS, steps=5)
    first, second = policy(), policy()
    assert pretrain_vision(first, views(), settings, (np.pi / 2,)) == pretrain_vision(
        second, views(), settings, (np.pi / 2,)
    )
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_is_not_finite_stops_it():
    bad = dataclasses.replace(views(4, 5), targets=np.full((20, 9), np.nan, np.float32))
    with pytest.raises(ArithmeticError, match="vision_learning_rate"):
        pretrain_vision(policy(), bad, SETTINGS, (np.pi / 2,))


def test_the_image_encoders_of_a_checkpoint_can_be_taken(tmp_path):
    source, taking = policy(seed=1), policy(seed=2)
    save_checkpoint(tmp_path, source.model, source.tokenizer, source.statistics, {}, dtype=torch.float32)
    decoder = {name: value.clone() for name, value in taking.model.language_model.state_dict().items()}
    copy_vision(taking, tmp_path)
    for taken, trained in zip(
        taking.model.image_encoders.parameters(), source.model.image_encoders.parameters(), strict=True
    ):
        assert torch.equal(taken, trained)
    assert all(torch.equal(value, decoder[name]) for name, value in taking.model.language_model.state_dict().items())


def test_image_encoders_of_another_shape_are_rejected(tmp_path):
    source = policy()
    save_checkpoint(tmp_path, source.model, source.tokenizer, source.statistics, {})
    with pytest.raises(ConfigError, match=r"vision_from.*\n.*hidden = 48, and .* has 32"):
        copy_vision(policy(shape=dataclasses.replace(SHAPE, hidden=48)), tmp_path)


def test_trained_image_encoders_are_kept_for_the_same_settings(tmp_path):
    trained, errors, file = policy(seed=1), VisionErrors(40, 2.5, 1.5, 3.0), tmp_path / "vision.safetensors"
    keep_vision(file, trained, errors, {"task": "Lift", "cameras": ("front",)})
    assert kept_vision(file, policy(seed=2), {"task": "Stack", "cameras": ("front",)}) is None
    taking = policy(seed=2)
    assert kept_vision(file, taking, {"task": "Lift", "cameras": ("front",)}) == errors
    for taken, kept in zip(
        taking.model.image_encoders.parameters(), trained.model.image_encoders.parameters(), strict=True
    ):
        assert torch.equal(taken, kept)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors at all"])
def test_without_usable_kept_encoders_they_are_trained_again(tmp_path, content):
    file = tmp_path / "vision.safetensors"
    if content is not None:
        file.write_bytes(content)
    assert kept_vision(file, policy(), {}) is None
