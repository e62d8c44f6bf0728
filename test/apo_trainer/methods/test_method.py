"""The imitation term that a method may add to its loss."""

import dataclasses

import pytest
import torch

from apo_trainer.config import TrainingConfig
from apo_trainer.data.samples import SampleClass
from apo_trainer.methods import METHODS, Terms

EPISODES = ("E" * 30, "PPPPPPUUUUUHHHHHH", "PPPPUUUUHHHHH")


def literal_terms() -> Terms:
    """Two desirable rows of 2 and 4 tokens, -3 and -5 nats, and an undesirable one of -1."""
    return Terms(
        policy_logps=torch.tensor([-3.0, -5.0, -1.0], requires_grad=True),
        ref_logps=torch.tensor([-3.0, -5.0, -1.0]),
        desirable=torch.tensor([True, True, False]),
        classes=(SampleClass.EXPERT, SampleClass.HUMAN, SampleClass.UNDESIRABLE),
        l1=torch.ones(3),
        edges=torch.zeros(3),
        token_counts=torch.tensor([2, 4, 4]),
        kl_policy_logps=torch.zeros(0),
        kl_ref_logps=torch.zeros(0),
    )


def test_nll_term_is_weighted_mean_over_desirable_tokens(training_data):
    method = METHODS["kto"](training_data(*EPISODES), TrainingConfig(method="kto", nll_weight=0.5))
    plain, terms = method.loss(literal_terms()), literal_terms()
    out = method.total_loss(terms)
    # (3 + 5) nats of 6 tokens
    assert out.loss.item() == pytest.approx(plain.loss.item() + 0.5 * 8 / 6, rel=1e-6)
    assert torch.equal(out.values, plain.values) and torch.equal(out.weights, plain.weights)
    out.loss.backward()
    # d/d logp of (1 - sigma(beta r)) / 3 at r = 0 is -beta / 12
    beta = method.config.beta
    assert terms.policy_logps.grad.tolist() == pytest.approx([-beta / 12 - 0.5 / 6, -beta / 12 - 0.5 / 6, beta / 12])


@pytest.mark.parametrize(
    ("name", "given", "weight"), [("apo_plus", -1.0, 2.0), ("apo_plus", 0.0, 0.0), ("apo", -1.0, 0.0)]
)
def test_a_method_may_have_a_weight_of_its_own(name, given, weight, training_data):
    method = METHODS[name](training_data(*EPISODES), TrainingConfig(method=name, nll_weight=given))
    plain = method.loss(literal_terms()).loss.item()
    assert method.total_loss(literal_terms()).loss.item() == pytest.approx(plain + weight * 8 / 6, rel=1e-6)


def test_no_nll_term_without_weight_reference_or_desirable_row(training_data):
    data = training_data(*EPISODES)
    for name, weight in (("kto", 0.0), ("dagger", 0.5)):
        method = METHODS[name](data, TrainingConfig(method=name, nll_weight=weight))
        assert method.total_loss(literal_terms()).loss.item() == method.loss(literal_terms()).loss.item()
    method = METHODS["kto"](data, TrainingConfig(method="kto", nll_weight=0.5))
    terms = dataclasses.replace(literal_terms(), desirable=torch.tensor([False] * 3))
    assert method.total_loss(terms).loss.item() == method.loss(terms).loss.item()
