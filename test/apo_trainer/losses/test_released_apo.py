"""The released code's APO against numbers computed by hand."""

import math

import pytest
import torch
from tensors import flags, tensor

from apo_trainer.losses import apo_reference_compat_loss


def test_loss_of_literals():
    # desirable l = (0.2, 0.6): w = 0.2001 / 0.8001 and 0.6001 / 0.8001; the only undesirable one has w = 1;
    # r = (2, -1, -3), z0 = 1, beta = 0.1; summed over the batch
    out = apo_reference_compat_loss(
        tensor(-3.0, -6.0, -8.0),
        tensor(-5.0, -5.0, -5.0),
        flags(True, True, False),
        tensor(0.2, 0.6, 0.3),
        tensor(-20.0, -21.0),
        tensor(-21.0, -22.0),
    )
    assert out.z0.item() == pytest.approx(1.0)
    assert out.weights.tolist() == pytest.approx([0.2212723, 0.5276482, 0.3678794], abs=1e-6)
    assert out.values.tolist() == pytest.approx([0.1161633, 0.2375293, 0.2202449], abs=1e-6)
    assert out.loss.item() == pytest.approx(0.5428624, abs=1e-6)


@pytest.mark.parametrize(("kl", "z0"), [(9.0, 5.0), (-9.0, -5.0), (-2.0, -2.0)])
def test_the_kl_estimate_is_clamped_to_5_nats_and_may_be_negative(kl, z0):
    zero = tensor(0.0)
    out = apo_reference_compat_loss(zero, zero, flags(True), zero, tensor(kl), zero)
    assert out.z0.item() == z0


def test_when_every_error_is_zero_each_weight_counts_as_a_whole_label():
    # (0 + 1e-4) / (0 + 1e-4) = 1 for every sample
    zeros = torch.zeros(3)
    out = apo_reference_compat_loss(zeros, zeros, flags(True, True, False), zeros, tensor(), tensor())
    assert out.weights.tolist() == pytest.approx([1 - math.exp(-1)] * 2 + [math.exp(-1)], abs=1e-6)


@pytest.mark.parametrize("labels", [(True, True), (False, False), (True, False)])
def test_a_batch_without_a_label_or_without_pairs_is_finite(labels):
    logps = tensor(-3.0, -900.0, grad=True)
    out = apo_reference_compat_loss(logps, tensor(-3.0, -3.0), flags(*labels), tensor(0.0, 2.0), tensor(), tensor())
    out.loss.backward()
    assert out.z0.item() == 0.0
    assert torch.isfinite(out.loss)
    assert torch.isfinite(logps.grad).all()


def test_gradient_raises_the_desirable_and_lowers_the_undesirable():
    logps = tensor(-3.0, -6.0, grad=True)
    apo_reference_compat_loss(
        logps, tensor(-4.0, -4.0), flags(True, False), tensor(0.2, 0.1), tensor(0.0), tensor(0.0)
    ).loss.backward()
    assert logps.grad[0] < 0 < logps.grad[1]


def test_gradient_agrees_with_finite_differences():
    logps = torch.tensor([-3.0, -6.5, -2.5], dtype=torch.float64, requires_grad=True)
    ref, l1 = torch.tensor([-4.0, -5.0, -2.0]).double(), torch.tensor([0.1, 0.4, 0.2]).double()
    pairs = torch.tensor([0.7]).double(), torch.tensor([0.1]).double()
    assert torch.autograd.gradcheck(
        lambda x: apo_reference_compat_loss(x, ref, flags(True, False, True), l1, *pairs).loss, logps
    )
