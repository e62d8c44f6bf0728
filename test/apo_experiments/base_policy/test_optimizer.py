"""Batches and updates of the base policy's training."""

import numpy as np
import pytest
import torch

from apo_experiments.base_policy.optimizer import Optimizer, OptimizerSettings, shuffled_batches

SETTINGS = OptimizerSettings(
    steps=6, batch_size=4, learning_rate=0.1, warmup_steps=2, weight_decay=0.0, max_grad_norm=1.0, seed=0
)


def test_every_item_comes_once_before_any_comes_again():
    batches = list(shuffled_batches(np.arange(10, 18), SETTINGS, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4] * 6
    for epoch in range(3):
        pair = np.concatenate(batches[2 * epoch : 2 * epoch + 2])
        assert sorted(pair) == list(range(10, 18))


def test_few_items_repeat_within_a_batch():
    (batch, *_) = shuffled_batches(np.arange(3), SETTINGS, np.random.default_rng(0))
    assert sorted(batch[:3]) == [0, 1, 2]


def test_same_generator_state_gives_same_batches():
    first, second = (list(shuffled_batches(np.arange(9), SETTINGS, np.random.default_rng(7))) for _ in range(2))
    assert np.array_equal(first, second)


def test_step_is_half_the_rate_in_the_first_of_two_warmup_steps():
    # AdamW's first step has the size of the rate, whatever the gradient
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    Optimizer([{"params": [parameter]}], SETTINGS).step((100.0 * parameter).sum())
    assert parameter.item() == pytest.approx(1.0 - 0.05, abs=1e-6)


def test_group_may_have_its_own_weight_decay():
    decayed, plain = (torch.nn.Parameter(torch.tensor([1.0])) for _ in range(2))
    settings = OptimizerSettings(6, 4, 0.1, 0, 0.5, 1.0, 0)
    optimizer = Optimizer([{"params": [decayed]}, {"params": [plain], "weight_decay": 0.0}], settings)
    optimizer.step((0.0 * (decayed + plain)).sum())
    assert decayed.item() == pytest.approx(1.0 - 0.1 * 0.5)
    assert plain.item() == 1.0
