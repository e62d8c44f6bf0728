"""Behaviour cloning against numbers computed by hand."""

import pytest
import torch
from tensors import tensor

from apo_trainer.losses import bc_loss


def test_bc_loss_is_the_mean_over_tokens():
    assert bc_loss(tensor(-4.0, -6.0), tensor(4.0, 1.0)).loss.item() == pytest.approx(2.0)


def test_bc_loss_weights_samples():
    assert bc_loss(tensor(-4.0, -6.0), tensor(4.0, 2.0), tensor(1.0, 0.0)).loss.item() == pytest.approx(1.0)
    assert bc_loss(tensor(-4.0, -6.0), tensor(4.0, 2.0), tensor(0.0, 0.0)).loss.item() == 0.0


def test_gradient_raises_every_sample_in_proportion_to_its_weight():
    logps = tensor(-4.0, -6.0, -1.0, grad=True)
    bc_loss(logps, tensor(2.0, 2.0, 2.0), tensor(1.0, 3.0, 0.0)).loss.backward()
    assert logps.grad.tolist() == pytest.approx([-1 / 8, -3 / 8, 0.0])


def test_gradient_agrees_with_finite_differences():
    logps = torch.tensor([-3.0, -6.5, -2.5], dtype=torch.float64, requires_grad=True)
    counts, weights = torch.tensor([4.0, 3.0, 2.0]).double(), torch.tensor([0.1, 0.4, 0.2]).double()
    assert torch.autograd.gradcheck(lambda x: bc_loss(x, counts, weights).loss, logps)
