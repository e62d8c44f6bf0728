"""Probabilities of tokens that are one action add up."""

import numpy as np
import pytest
import torch

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec

# two dimensions of four tokens: the last two are one action; the first three are
CLASSES = np.array([[0, 1, 3, 3], [2, 2, 2, 3]])
SHARES = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.125, 0.125]]


@pytest.fixture
def classes() -> ActionClasses:
    return ActionClasses(CLASSES)


def logits(*shares) -> torch.Tensor:
    """One row whose softmax has these shares; a constant beside them changes nothing."""
    return torch.tensor(np.log(shares))[None] + 3.0


@pytest.mark.parametrize(
    ("tokens", "shares"),
    [([0, 0], [0.1, 0.875]), ([1, 3], [0.2, 0.125]), ([2, 1], [0.7, 0.875]), ([3, 2], [0.7, 0.875])],
)
def test_a_log_probability_is_that_of_the_tokens_class(classes, tokens, shares):
    found = classes.log_probs(logits(*SHARES), torch.tensor([tokens]))
    np.testing.assert_allclose(found[0], np.log(shares), rtol=1e-12)


def test_rows_of_a_chunk_take_their_dimensions_in_turn(classes):
    found = classes.log_probs(logits(*SHARES, *SHARES[::-1]), torch.tensor([[2, 0, 2, 0]]))
    np.testing.assert_allclose(found[0], np.log([0.7, 0.875, 0.25, 0.6]), rtol=1e-12)


def test_the_sum_of_the_softmax_of_random_logits():
    rng = np.random.default_rng(0)
    values, tokens = rng.normal(0, 4, (3, 4, 4)), rng.integers(0, 4, (3, 4))
    found = ActionClasses(CLASSES).log_probs(torch.tensor(values), torch.tensor(tokens)).numpy()
    softmax = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    for row, place in np.ndindex(3, 4):
        own = CLASSES[place % 2] == CLASSES[place % 2, tokens[row, place]]
        np.testing.assert_allclose(found[row, place], np.log(softmax[row, place][own].sum()), rtol=1e-9)


def test_entropies_are_those_of_the_actions(classes):
    found = classes.entropies(logits(*SHARES))
    # -(0.1 ln 0.1 + 0.2 ln 0.2 + 0.7 ln 0.7) and -(0.875 ln 0.875 + 0.125 ln 0.125)
    np.testing.assert_allclose(found[0], [0.801819, 0.376770], atol=1e-6)


def test_a_constant_dimension_is_certain_and_takes_no_gradient():
    codec = ActionCodec([-1.0, 0.25], [1.0, 0.25], [True, True])
    classes = ActionClasses(codec.classes)
    values = (torch.randn(2, 4, 256, generator=torch.Generator().manual_seed(0)) * 30).requires_grad_()
    found = classes.log_probs(values, torch.tensor([[0, 7, 255, 255], [254, 0, 9, 100]]))
    assert found[:, 1::2].abs().max() < 1e-5
    assert classes.entropies(values.detach())[:, 1::2].abs().max() < 1e-5
    found.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert values.grad[:, 1::2].abs().max() < 1e-5 and values.grad[:, ::2].abs().max() > 0.1


def test_an_action_next_to_impossible_has_a_finite_gradient(classes):
    values = torch.tensor([[[1e4, -1e4, -1e4, -1e4], [1e4, 0.0, 0.0, -1e4]]], requires_grad=True)
    found = classes.log_probs(values, torch.tensor([[3, 3]]))
    found.sum().backward()
    assert found.tolist() == [pytest.approx([-2e4 + np.log(2), -2e4], rel=1e-6)]
    assert torch.isfinite(values.grad).all()


def test_the_gradient_agrees_with_finite_differences(classes):
    values = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    tokens = torch.tensor([[0, 3, 2, 1], [3, 0, 1, 2]])
    assert torch.autograd.gradcheck(lambda x: classes.log_probs(x, tokens), values)
