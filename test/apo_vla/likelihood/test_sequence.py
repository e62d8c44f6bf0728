"""Log-probabilities of action tokens."""

import math

import numpy as np
import pytest
import torch

from apo_vla.actions.classes import ActionClasses
from apo_vla.likelihood.sequence import sequence_logps


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


def test_sequence_logps_sums_only_the_masked_in_tokens():
    # softmax of (0, ln 3) is (1/4, 3/4); of (0, 0) it is (1/2, 1/2)
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0], [0.0, math.log(3.0)]]])
    tokens = torch.tensor([[1, 0, 0]])
    assert sequence_logps(logits, tokens, flags([True, True, True])).item() == pytest.approx(
        math.log(0.75) + math.log(0.5) + math.log(0.25), abs=1e-6
    )
    assert sequence_logps(logits, tokens, flags([True, True, False])).item() == pytest.approx(math.log(0.375), abs=1e-6)


def test_sequence_logps_of_bfloat16_logits_is_float32():
    logits = torch.zeros(1, 2, 256, dtype=torch.bfloat16)
    value = sequence_logps(logits, torch.tensor([[3, 200]]), flags([True, True]))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(-2 * math.log(256), abs=1e-5)


def test_gradient_of_the_sequence_log_probability():
    logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tokens, mask = torch.tensor([[0, 4, 2], [1, 1, 3]]), flags([True, True, False], [True, False, False])
    assert torch.autograd.gradcheck(lambda x: sequence_logps(x, tokens, mask), logits)


def test_tokens_that_are_one_action_add_up_their_probabilities():
    logits = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]).log()[None]
    classes = ActionClasses(np.array([[0, 2, 2]]))
    mask = flags([True, True, False])
    for tokens in ([1, 0, 0], [2, 0, 1]):
        value = sequence_logps(logits, torch.tensor([tokens]), mask, classes)
        assert value.item() == pytest.approx(math.log(0.9) + math.log(0.5), abs=1e-6)
    narrow = sequence_logps(logits.bfloat16(), torch.tensor([[1, 0, 0]]), mask, classes)
    assert narrow.dtype == torch.float32
