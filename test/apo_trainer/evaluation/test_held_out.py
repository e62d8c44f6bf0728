"""Means over held-out samples, with a forward pass of chosen numbers."""

from contextlib import contextmanager

import pytest
import torch

from apo_core.types import Outcome
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.samples import SampleClass
from apo_trainer.evaluation.held_out import DesirableError, held_out
from apo_vla.likelihood.types import Scores
from apo_vla.policy import VlaPolicy


class Weights:
    """A set of weights: while it is active, `forward` gives its log-probability."""

    def __init__(self, logp: float):
        self.logp = logp

    @contextmanager
    def active(self):
        ACTIVE.append(self.logp)
        try:
            yield
        finally:
            ACTIVE.pop()


ACTIVE = [0.0]


def forward(batch) -> Scores:
    """Error of a row: 0.1 times the index of its sample; share of edges 0.25."""
    indices = torch.tensor([float(draw.index) for draw in batch.draws])
    full = torch.full_like(indices, ACTIVE[-1])
    return Scores(full, 0.1 * indices, torch.full_like(indices, 0.25), torch.zeros(0))


@pytest.fixture
def policy(tiny_model) -> VlaPolicy:
    return VlaPolicy(*tiny_model)


@pytest.fixture
def samples(write_episode, contract):
    """Three HUMAN, two UNDESIRABLE and one POLICY step of a takeover, then two POLICY steps of an own success."""
    from apo_episodes.labeling import LabelRule

    paths = [write_episode("helped", "PPPHHH"), write_episode("alone", "PP", outcome=Outcome.SUCCESS)]
    return load_training_data(paths, LabelRule(2), 2, 0.0, contract.sha256).train


def test_means_are_by_class_and_of_own_successes(policy, samples):
    found = held_out(policy, samples, 64, Weights(-2.0), None, forward)
    means = found.means
    assert {name: mean.samples for name, mean in means.items()} == {
        SampleClass.POLICY: 3,
        SampleClass.HUMAN: 3,
        SampleClass.UNDESIRABLE: 2,
    }
    human = means[SampleClass.HUMAN]
    assert human.log_ratio == 2.0
    assert human.l1 == pytest.approx(0.1 * (3 + 4 + 5) / 3)
    assert (human.edges, human.ref_edges, human.serving_l1) == (0.25, 0.25, None)
    assert found.own_success.samples == 2
    assert found.own_success.l1 == pytest.approx(0.65)


def test_serving_adapter_is_compared_with(policy, samples):
    human = held_out(policy, samples, 64, Weights(-2.0), Weights(-0.5), forward).means[SampleClass.HUMAN]
    assert (human.log_ratio, human.serving_log_ratio) == (2.0, 0.5)
    assert human.serving_l1 == pytest.approx(human.l1)


def test_few_of_many_are_spread_evenly(policy, samples):
    means = held_out(policy, samples, 2, Weights(0.0), None, forward).means
    # of indices 3, 4 and 5 the first and the second
    assert means[SampleClass.HUMAN].samples == 2
    assert means[SampleClass.HUMAN].l1 == pytest.approx(0.35)


def test_desirable_error_is_that_of_human_and_expert_steps(policy, samples):
    error = DesirableError(policy, samples, 64, forward)
    assert error.measure() == pytest.approx(0.4)
    assert error.measure() == pytest.approx(0.4)
    policy_steps = [sample for sample in samples if sample.sample_class is SampleClass.POLICY]
    assert DesirableError(policy, policy_steps, 64, forward).measure() is None


def test_nothing_held_out_gives_no_means(policy):
    assert held_out(policy, (), 64, Weights(0.0), None, forward).means == {}
