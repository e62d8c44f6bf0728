"""The forward pass, beside what its logits give directly."""

import numpy as np
import pytest
import torch

from apo_episodes.labeling import LabelRule
from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batch, Batcher
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import Draw
from apo_trainer.evaluation.forward import ForwardPass
from apo_vla.likelihood.sequence import sequence_logps
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.policy import VlaPolicy

EXACT = TrainingConfig(likelihood=LikelihoodSettings(action_tolerance=0.0))


@pytest.fixture
def policy(tiny_model) -> VlaPolicy:
    return VlaPolicy(*tiny_model)


@pytest.fixture
def batch(policy, interactions, contract) -> Batch:
    """Four rows, the last of which has one step in its chunk of two; two mismatched actions."""
    paths = sorted(interactions.glob("*.h5"))
    samples = load_training_data(paths, LabelRule(3), policy.chunk, 0.0, contract.sha256).train
    return Batcher(policy, samples, FeatureSettings(seed=0)).batch(
        [Draw(i, 0) for i in (2, 3, 5, 7)], [0, 2], [Draw(9, 0), Draw(10, 0)]
    )


@torch.no_grad()
def test_values_follow_from_the_logits(policy, batch):
    logits = policy.model.action_logits(batch.inputs.features, batch.inputs.prompt_ids, batch.targets.outputs)
    found = ForwardPass(policy, EXACT)(batch)
    torch.testing.assert_close(
        found.logps,
        sequence_logps(logits, batch.targets.outputs, batch.targets.mask, policy.classes),
        atol=1e-4,
        rtol=0,
    )
    likeliest = logits.argmax(-1).numpy()
    values = policy.codec.centres(np.arange(policy.codec.bins))[likeliest]
    mask = batch.targets.mask.numpy()
    assert mask.sum(1).tolist() == [14, 14, 14, 7]
    errors = (np.abs(values - batch.targets.actions.numpy()) * mask).sum(1) / mask.sum(1)
    assert found.l1.tolist() == pytest.approx(errors.tolist(), abs=1e-5)
    assert found.other_logps.shape == (2,)


@torch.no_grad()
def test_mismatched_actions_are_scored_from_their_rows(policy, batch):
    found = ForwardPass(policy, EXACT)(batch)
    rows = list(batch.others.rows)
    logits = policy.model.action_logits(
        batch.inputs.features[rows], batch.inputs.prompt_ids[rows], batch.others.targets.outputs
    )
    wanted = sequence_logps(logits, batch.others.targets.outputs, batch.others.targets.mask, policy.classes)
    torch.testing.assert_close(found.other_logps, wanted, atol=1e-4, rtol=0)


@torch.no_grad()
def test_tolerance_makes_every_action_more_likely(policy, batch):
    exact = ForwardPass(policy, EXACT)(batch)
    tolerant = ForwardPass(policy, TrainingConfig(likelihood=LikelihoodSettings(action_tolerance=2.0)))(batch)
    assert (tolerant.logps > exact.logps).all()
    assert torch.equal(tolerant.l1, exact.l1) and torch.equal(tolerant.edges, exact.edges)


def test_errors_have_no_gradient(policy, batch):
    found = ForwardPass(policy, EXACT)(batch)
    assert found.logps.requires_grad
    assert not (found.l1.requires_grad or found.edges.requires_grad)
