"""Rows of a batch as tensors."""

import dataclasses

import numpy as np
import pytest
import torch

from apo_episodes.labeling import LabelRule
from apo_trainer.data.batches import Batcher
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import ActionOf, Draw
from apo_trainer.data.samples import SampleClass
from apo_vla.policy import VlaPolicy

H, U = SampleClass.HUMAN, SampleClass.UNDESIRABLE


@pytest.fixture
def policy(tiny_model) -> VlaPolicy:
    return VlaPolicy(*tiny_model)


@pytest.fixture
def human_samples(write_episode, policy, contract):
    """Four human steps, beside which the policy wanted -0.5 in every dimension."""
    data = load_training_data([write_episode("e", "PPHHHH")], LabelRule(2), policy.chunk, 0.0, contract.sha256)
    shadow = np.full((6, 7), -0.5, np.float32)
    episode = dataclasses.replace(data.train[0].episode, policy_actions=shadow)
    return [dataclasses.replace(s, episode=episode) for s in data.train if s.sample_class is H]


def test_shadow_row_holds_policy_action_and_is_undesirable(policy, human_samples):
    batcher = Batcher(policy, human_samples, FeatureSettings(seed=0))
    batch = batcher.batch([Draw(0, 0), Draw(0, 0, ActionOf.SHADOW)])
    assert batch.classes == (H, U)
    assert batch.desirable.tolist() == [True, False]
    assert torch.equal(batch.inputs.features[0], batch.inputs.features[1])
    assert torch.equal(batch.targets.mask[0], batch.targets.mask[1])
    assert batch.targets.actions[1].tolist() == pytest.approx([-0.5] * 14)
    # human step 2 of the file is 0.52, step 3 is 0.53
    assert batch.targets.actions[0].tolist() == pytest.approx([0.52] * 7 + [0.53] * 7)
    assert torch.equal(
        batch.targets.outputs[1], torch.from_numpy(policy.codec.encode(np.full(14, -0.5).reshape(2, 7)).ravel())
    )


def test_synthetic_row_is_near_the_recorded_action_and_reproducible(policy, human_samples):
    draw = Draw(1, 0, ActionOf.SYNTHETIC)
    first, second = (Batcher(policy, human_samples, FeatureSettings(seed=3)).batch([draw]) for _ in range(2))
    assert torch.equal(first.targets.actions, second.targets.actions)
    difference = (
        first.targets.actions
        - Batcher(policy, human_samples, FeatureSettings(seed=3)).batch([Draw(1, 0)]).targets.actions
    )
    assert 0.05 < difference.abs().mean().item() < 0.6
    assert not torch.equal(
        Batcher(policy, human_samples, FeatureSettings(seed=4)).batch([draw]).targets.actions, first.targets.actions
    )


def test_without_noise_the_synthetic_action_is_the_recorded_one(policy, human_samples):
    batcher = Batcher(policy, human_samples, FeatureSettings(seed=0), negative_noise=0.0)
    batch = batcher.batch([Draw(1, 0), Draw(1, 0, ActionOf.SYNTHETIC)])
    assert torch.equal(batch.targets.outputs[0], batch.targets.outputs[1])
