"""The reference: its log-probabilities are computed once, and it leaves the policy as it is."""

import dataclasses

import pytest
import torch

from apo_episodes.labeling import LabelRule
from apo_trainer.data.batches import Batcher
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import Draw
from apo_trainer.evaluation.reference import Reference, ReferenceLogps
from apo_trainer.evaluation.reference_cache import ReferenceCache
from apo_vla.likelihood.sequence import sequence_logps
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters
from apo_vla.policy import VlaPolicy


@pytest.fixture
def policy(tiny_model) -> VlaPolicy:
    """With an adapter that is not zero."""
    policy = VlaPolicy(*tiny_model)
    attach_lora(policy.model, LoraSettings(rank=2, alpha=4.0))
    torch.manual_seed(0)
    for parameter in lora_parameters(policy.model).values():
        parameter.data.normal_(std=0.3)
    return policy


@pytest.fixture
def batcher(policy, interactions, contract) -> Batcher:
    paths = sorted(interactions.glob("*.h5"))
    samples = load_training_data(paths, LabelRule(3), policy.chunk, 0.0, contract.sha256).train
    return Batcher(policy, samples, FeatureSettings(seed=0))


def reference_of(policy) -> Reference:
    return Reference(policy, lora_parameters(policy.model))


def change(policy, by=0.5):
    """What training does to the adapter."""
    for parameter in lora_parameters(policy.model).values():
        parameter.data.add_(by)


def direct(policy, batch, rows, tokens, mask):
    with torch.no_grad():
        logits = policy.model.action_logits(batch.inputs.features[rows], batch.inputs.prompt_ids[rows], tokens)
    return sequence_logps(logits, tokens, mask)


def test_it_stays_what_the_policy_was(policy, batcher):
    batch = batcher.batch([Draw(i, 0) for i in range(3)], [0, 2], [Draw(7, 0), Draw(9, 0)])
    wanted = direct(policy, batch, [0, 1, 2], batch.targets.outputs, batch.targets.mask)
    wanted_others = direct(policy, batch, [0, 2], batch.others.targets.outputs, batch.others.targets.mask)
    logps = ReferenceLogps(policy, reference_of(policy), ReferenceCache())
    change(policy)
    got, others = logps.of(batch)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(others, wanted_others, atol=1e-5, rtol=1e-5)
    assert not got.requires_grad


def test_the_policy_is_itself_again_after_it(policy, batcher):
    reference = reference_of(policy)
    change(policy)
    before = [p.clone() for p in lora_parameters(policy.model).values()]
    ReferenceLogps(policy, reference, ReferenceCache()).of(batcher.batch([Draw(0, 0)]))
    assert all(torch.equal(a, b) for a, b in zip(before, lora_parameters(policy.model).values(), strict=True))
    with pytest.raises(RuntimeError, match="inside"), reference.active():
        raise RuntimeError("inside")
    assert all(torch.equal(a, b) for a, b in zip(before, lora_parameters(policy.model).values(), strict=True))


def test_each_pair_of_observation_and_action_is_scored_once(policy, batcher):
    calls = []
    compute = policy.model.completion_logits
    policy.model.completion_logits = lambda *inputs: calls.append(len(inputs[0])) or compute(*inputs)
    logps = ReferenceLogps(policy, reference_of(policy), ReferenceCache())
    first, others = logps.of(batcher.batch([Draw(0, 0), Draw(1, 0)], [1], [Draw(5, 0)]))
    assert len(calls) == 1
    again, same = logps.of(batcher.batch([Draw(1, 0), Draw(0, 0)], [0], [Draw(5, 0)]))
    assert len(calls) == 1
    assert torch.equal(again, first.flip(0))
    assert torch.equal(same, others)
    # the same action after another observation is another pair
    logps.of(batcher.batch([Draw(0, 0)], [0], [Draw(5, 0)]))
    assert len(calls) == 2


def test_after_a_noisy_prefix_nothing_is_kept(policy, batcher):
    cache, reference = ReferenceCache(), reference_of(policy)
    batch = batcher.batch([Draw(0, 0), Draw(1, 0)], [1], [Draw(5, 0)])
    exact, others = ReferenceLogps(policy, reference, cache).of(batch)
    noisy = dataclasses.replace(batch, context=(batch.targets.outputs + 40) % 256)
    kept = len(cache)
    got, same = ReferenceLogps(policy, reference, cache).of(noisy)
    assert not torch.allclose(got, exact) and torch.allclose(same, others, atol=1e-4)
    assert len(cache) == kept
    assert torch.equal(ReferenceLogps(policy, reference, cache).of(batch)[0], exact)


def test_a_tolerance_makes_actions_likelier(policy, batcher):
    batch, reference = batcher.batch([Draw(i, 0) for i in range(4)]), reference_of(policy)
    exact, _ = ReferenceLogps(policy, reference, ReferenceCache()).of(batch)
    settings = LikelihoodSettings(action_tolerance=2.0)
    tolerant, _ = ReferenceLogps(policy, reference, ReferenceCache(), likelihood=settings).of(batch)
    assert (tolerant > exact).all()


def test_a_value_does_not_depend_on_what_it_was_scored_with(policy, batcher):
    reference = reference_of(policy)
    draws = [Draw(i, 0) for i in range(11)]
    together, _ = ReferenceLogps(policy, reference, ReferenceCache()).of(batcher.batch(draws))
    alone = [ReferenceLogps(policy, reference, ReferenceCache()).of(batcher.batch([draw]))[0] for draw in draws]
    assert torch.equal(together, torch.cat(alone))


def test_hash_differs_between_adapters_and_facts(policy):
    first = reference_of(policy).sha256("float32")
    assert reference_of(policy).sha256("float32") == first
    assert reference_of(policy).sha256("bfloat16") != first
    change(policy, 1e-3)
    assert reference_of(policy).sha256("float32") != first
