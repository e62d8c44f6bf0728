"""Cloning on synthetic demonstrations whose action follows from the image alone."""

import dataclasses

import numpy as np
import pytest
import torch
from small_policy import small_config

from apo_core.errors import ConfigError
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Observation, Outcome, Step
from apo_episodes.reader import read_episode
from apo_episodes.writer import EpisodeWriter
from apo_experiments.base_policy.behaviour_cloning import (
    CloningCurves,
    CloningSettings,
    Demonstrations,
    cloning_loss,
    join_demonstrations,
    new_policy,
    targets,
    train,
)
from apo_experiments.base_policy.optimizer import OptimizerSettings
from apo_vla.likelihood.action_tolerance import TolerantActions

TINY = small_config(image_channels=(8, 8, 16), hidden=32, mlp=64)
OPTIMIZER = OptimizerSettings(
    steps=50, batch_size=16, learning_rate=3e-3, warmup_steps=5, weight_decay=0.01, max_grad_norm=1.0, seed=1
)
SETTINGS = CloningSettings(OPTIMIZER)


def settings_of(steps: int, **changes) -> CloningSettings:
    return dataclasses.replace(SETTINGS, optimizer=dataclasses.replace(OPTIMIZER, steps=steps), **changes)


def synthetic(seed: int, frames: int = 120) -> Demonstrations:
    """Frames with a bright left or right half; the action is -0.4 or 0.4 accordingly, in every dimension."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, frames)
    images = rng.integers(0, 60, (frames, 8, 8, 3), dtype=np.uint8)
    for image, side in zip(images, right, strict=True):
        image[:, 4 * side : 4 * side + 4] += 150
    return Demonstrations(
        images={"front": images},
        states={"ee_pose": rng.normal(size=(frames, 7)).astype(np.float32)},
        actions=np.repeat((0.8 * right - 0.4).astype(np.float32)[:, None], 7, axis=1),
        instructions=("lift the red cube",) * frames,
        rows=np.ones(frames, dtype=np.int64),
    )


def held_out_loss(policy, data) -> float:
    with torch.no_grad():
        return cloning_loss(policy, data, np.arange(data.num_frames), None).item()


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_training_lowers_the_loss_on_frames_it_never_saw():
    data, held_out = synthetic(0), synthetic(1)
    policy = new_policy(TINY, data, "abc", seed=3)
    before = held_out_loss(policy, held_out)
    assert before == pytest.approx((np.log(256) + np.log(128)) / 2, abs=0.3)
    steps = []
    curves = train(policy, data, SETTINGS, lambda step, loss, seconds: steps.append(step))
    assert len(curves.losses) == 50 and steps == list(range(1, 51))
    assert curves.held_out == ()
    assert held_out_loss(policy, held_out) < before - 2.0
    assert not policy.model.training


def test_vision_may_stay_as_it_is():
    policy = new_policy(TINY, synthetic(0), "abc", seed=3)
    vision = [p.clone() for p in policy.model.image_encoders.parameters()]
    decoder = [p.clone() for p in policy.model.language_model.parameters()]
    train(policy, synthetic(0), settings_of(3, train_vision=False))
    assert all(torch.equal(a, b) for a, b in zip(vision, policy.model.image_encoders.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(decoder, policy.model.language_model.parameters(), strict=True))
    assert all(p.requires_grad for p in policy.model.parameters())


def test_noisy_prefix_changes_the_context_and_not_the_targets():
    data = synthetic(0)
    policy, indices, seen = new_policy(TINY, data, "abc", seed=3), np.arange(8), []

    def noisy(tokens):
        seen.append(tokens)
        return np.full_like(tokens, 7)

    with torch.no_grad():
        plain, changed = (cloning_loss(policy, data, indices, None, noisy=how).item() for how in (None, noisy))
    np.testing.assert_array_equal(seen[0], targets(policy, data, indices).clip(min=0))
    assert plain != changed
    noise = settings_of(3, prefix_noise=0.5)
    curves = [train(new_policy(TINY, data, "abc", seed=3), data, settings) for settings in (noise, noise, SETTINGS)]
    assert curves[0] == curves[1] and curves[0].losses[0] != curves[2].losses[0]


def test_with_a_tolerance_neighbouring_bins_count():
    data = synthetic(0)
    policy = new_policy(TINY, data, "abc", seed=3)
    indices = np.arange(data.num_frames)
    with torch.no_grad():
        exact = cloning_loss(policy, data, indices, None).item()
        tolerant = cloning_loss(policy, data, indices, None, TolerantActions(policy.codec, 2.0)).item()
    # of 256 about equally likely bins 3.0 count at the lower edge, and 4.0 for 2 at the upper
    assert exact - tolerant == pytest.approx((np.log(3.0) + np.log(2.0)) / 2, abs=0.1)


def test_the_held_out_loss_is_measured_every_few_steps_and_changes_nothing():
    data, held_out = synthetic(0), synthetic(1, frames=70)
    settings = settings_of(25, evaluate_every=10)
    policies = [new_policy(TINY, data, "abc", seed=3) for _ in range(2)]
    plain = train(policies[0], data, settings)
    curves = train(policies[1], data, settings, held_out=held_out)
    assert [step for step, _ in curves.held_out] == [10, 20]
    assert curves.held_out[1][1] < curves.held_out[0][1]
    assert curves.losses == plain.losses
    at_the_end = dataclasses.replace(settings, evaluate_every=25)
    last = train(new_policy(TINY, data, "abc", seed=3), data, at_the_end, held_out=held_out)
    # two batches, of 64 and 6 frames, weigh by their tokens
    assert last.held_out == ((25, pytest.approx(held_out_loss(policies[1], held_out), rel=1e-5)),)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3.0, 2.0, 1.9, 1.85, 1.8], False),  # the last fifth lowers the minimum by 2.7 %
        ([3.0, 2.0, 1.8, 1.8, 1.79], True),  # by 0.6 %
        ([3.0, 1.5, 1.6, 1.7, 1.8], True),  # it rises
        ([3.0], False),
        ([], False),
    ],
)
def test_converged_where_last_fifth_lowers_minimum_by_under_one_percent(losses, expected):
    curve = tuple(((i + 1) * 10, loss) for i, loss in enumerate(losses))
    assert CloningCurves((), curve).converged() is expected


def test_the_part_of_the_run_and_of_the_loss_can_be_chosen():
    curves = CloningCurves((), ((10, 2.0), (20, 1.0), (30, 0.9), (40, 0.85)))
    assert not curves.converged(share=0.5, least=0.1)  # 0.85 after 1.0
    assert curves.converged(share=0.5, least=0.2)


def weights_after(seed: int, weights_seed: int = 3) -> dict[str, torch.Tensor]:
    data = synthetic(0)
    policy = new_policy(TINY, data, "abc", seed=weights_seed)
    settings = CloningSettings(OptimizerSettings(4, 8, 1e-3, 1, 0.0, 1.0, seed))
    train(policy, data, settings)
    return policy.model.state_dict()


def test_the_same_seed_gives_the_same_weights():
    one, again, other = weights_after(1), weights_after(1), weights_after(2)
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert not torch.equal(one["action_head.weight"], other["action_head.weight"])
    start = weights_after(1, weights_seed=4)
    assert not torch.equal(one["action_head.weight"], start["action_head.weight"])


@pytest.fixture
def write_demonstration(tmp_path, contract):
    def write(name: str, disturbed: str, labelled: bool = True):
        """One step a letter, `x` where the executed action differs; the expert's action is 0.01 * step."""
        info = EpisodeInfo(name, EpisodeKind.DEMONSTRATION, "Lift", f"lift {name}", 0, "test", contract.json, "now")
        writer = EpisodeWriter(tmp_path, info, contract)
        for index, letter in enumerate(disturbed):
            expert = np.full(7, 0.01 * index, np.float32)
            image, pose = np.full((8, 8, 3), index, np.uint8), np.full(7, index, np.float32)
            writer.append(
                Step(
                    tick=index,
                    observation=Observation(index + 1, {"front": image}, {"ee_pose": pose}, "lift"),
                    executed_action=expert + (0.2 if letter == "x" else 0.0),
                    policy_action=None,
                    human_action=expert if labelled else None,
                    source=ControlSource.HUMAN,
                    reason="demonstration",
                    adapter_version=0,
                    command_stamp_ns=index + 1,
                    chunk_stamp_ns=0,
                    receive_ns=index + 1,
                )
            )
        return read_episode(writer.finish(EpisodeOutcome(Outcome.SUCCESS, "test", True, False)))

    return write


def test_chunks_end_with_the_episode_and_after_a_disturbance(write_demonstration):
    episodes = [write_demonstration("a", "..x...."), write_demonstration("b", "xx.")]
    data = join_demonstrations(episodes, ["front"], ["ee_pose"], chunk=3)
    assert data.rows.tolist() == [3, 2, 1, 3, 3, 2, 1, 1, 1, 1]
    assert data.num_frames == 10
    assert data.instructions == ("lift a",) * 7 + ("lift b",) * 3
    assert data.images["front"].shape == (10, 8, 8, 3) and data.states["ee_pose"].shape == (10, 7)
    np.testing.assert_allclose(data.actions[:, 0], [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0, 0.01, 0.02], atol=1e-7)


def test_targets_are_the_experts_bins_where_the_chunk_has_a_label(write_demonstration):
    data = join_demonstrations([write_demonstration("a", ".x..")], ["front"], ["ee_pose"], chunk=2)
    policy = new_policy(TINY, data, "abc", seed=0)
    wanted = targets(policy, data, np.array([0, 1, 3])).reshape(3, 2, 7)
    assert wanted[0, 0, 6] == policy.codec.encode(data.actions[0])[6] == 127
    assert (wanted[0] == policy.codec.encode(data.actions[:2])).all()
    assert (wanted[1:, 1] == -100).all() and (wanted[1:, 0] >= 0).all()


def test_demonstrations_without_an_expert_are_rejected(write_demonstration):
    with pytest.raises(ConfigError, match=r"a\.h5 has steps without an expert's action"):
        join_demonstrations([write_demonstration("a", "...", labelled=False)], ["front"], ["ee_pose"], 2)
    with pytest.raises(ConfigError, match="there are none"):
        join_demonstrations([], ["front"], ["ee_pose"], 2)
