"""APO and KTO against numbers computed by hand."""

import math

import pytest
import torch
from tensors import flags, tensor

from apo_trainer.losses import (
    adaptive_weights,
    apo_loss,
    kl_estimate,
    kto_loss,
)


def test_without_pairs_the_kl_is_zero():
    assert kl_estimate(tensor(), tensor()).item() == 0.0


def test_kl_estimate_is_the_mean_log_ratio_detached():
    policy = tensor(-1.0, -2.0, grad=True)
    z0 = kl_estimate(policy, tensor(-2.0, -5.0))
    assert z0.item() == pytest.approx(2.0)
    assert not z0.requires_grad


def test_kl_estimate_is_clamped_at_zero_and_at_its_maximum():
    assert kl_estimate(tensor(-9.0), tensor(-1.0)).item() == 0.0
    assert kl_estimate(tensor(-1.0), tensor(-9.0), maximum=5.0).item() == 5.0


def test_adaptive_weights_follow_the_equation():
    # w = (0.1, 0.3, 0.6)
    weights = adaptive_weights(tensor(0.1, 0.3, 0.6), flags(True, True, False))
    assert weights.tolist() == pytest.approx([0.0951626, 0.2591818, 0.5488116], abs=1e-6)


def test_weights_relative_to_mean_do_not_depend_on_batch_size():
    small = adaptive_weights(tensor(0.2, 0.2), flags(True, False), relative_to="mean")
    large = adaptive_weights(tensor(*[0.2] * 8), flags(*[True, False] * 4), relative_to="mean")
    assert small.tolist() == pytest.approx([0.6321206, 0.3678794], abs=1e-6)
    assert large[:2].tolist() == pytest.approx(small.tolist(), abs=1e-6)


def test_adaptive_weights_use_their_own_beta():
    weights = adaptive_weights(tensor(0.5, 0.5), flags(True, False), beta_desirable=2.0, beta_undesirable=4.0)
    assert weights.tolist() == pytest.approx([1 - math.exp(-1), math.exp(-2)], abs=1e-6)


def test_adaptive_weights_are_uniform_when_every_error_is_zero():
    weights = adaptive_weights(tensor(0.0, 0.0, 0.0, 0.0), flags(True, True, True, False))
    assert weights.tolist() == pytest.approx([1 - math.exp(-0.25)] * 3 + [math.exp(-0.25)], abs=1e-6)


def test_adaptive_weights_reject_an_unknown_scale():
    with pytest.raises(ValueError, match="relative_to = 'median'"):
        adaptive_weights(tensor(1.0), flags(True), relative_to="median")


def test_kto_loss_of_literals():
    # r = (2, -1), z0 = 1, beta = 0.5: 1 - sigmoid(0.5) and 1 - sigmoid(1)
    out = kto_loss(tensor(-3.0, -6.0), tensor(-5.0, -5.0), flags(True, False), torch.tensor(1.0), beta=0.5)
    assert out.log_ratios.tolist() == pytest.approx([2.0, -1.0])
    assert out.loss.item() == pytest.approx((0.3775407 + 0.2689414) / 2, abs=1e-6)


def test_kto_loss_is_that_of_trl():
    # TRL: 1 - sigmoid(beta (r - kl)) for the desirable, 1 - sigmoid(beta (kl - r)) for the undesirable, their mean,
    # with kl the mean log-ratio of mismatched pairs, at least 0. Here r = (1, -0.5, 3, -2), kl = (0.5 + 0.3) / 2 = 0.4:
    # 1 - sigmoid(0.06), 1 - sigmoid(-0.09), 1 - sigmoid(-0.26), 1 - sigmoid(0.24)
    policy, ref = tensor(-10.0, -12.0, -9.0, -15.0), tensor(-11.0, -11.5, -12.0, -13.0)
    z0 = kl_estimate(tensor(-20.0, -22.0), tensor(-20.5, -22.3))
    out = kto_loss(policy, ref, flags(True, True, False, False), z0, beta=0.1)
    assert z0.item() == pytest.approx(0.4, abs=1e-5)
    assert (1 - out.values).tolist() == pytest.approx([0.4850045, 0.5224848, 0.5646363, 0.4402864], abs=1e-6)
    assert out.loss.item() == pytest.approx(0.5031030, abs=1e-6)


def test_apo_loss_of_literals():
    # w = (0.25, 0.75): lambda = (0.2211992, 0.4723666); sigmoid(0.5) = 0.6224593, sigmoid(1) = 0.7310586
    out = apo_loss(
        tensor(-3.0, -6.0), tensor(-5.0, -5.0), flags(True, False), tensor(0.1, 0.3), torch.tensor(1.0), beta=0.5
    )
    assert out.weights.tolist() == pytest.approx([0.2211992, 0.4723666], abs=1e-6)
    assert out.values.tolist() == pytest.approx([0.1376875, 0.3453277], abs=1e-6)
    assert out.loss.item() == pytest.approx((0.0835117 + 0.1270389) / 2, abs=1e-6)


def test_apo_equals_kto_scaled_when_all_weights_are_equal():
    # at w = ln 2 both weights are 1/2
    logps, ref, labels, z0 = tensor(-3.0, -6.0), tensor(-5.0, -5.0), flags(True, False), torch.tensor(0.5)
    apo = apo_loss(logps, ref, labels, tensor(0.3, 0.3), z0, 0.1, 2 * math.log(2), 2 * math.log(2))
    assert apo.loss.item() == pytest.approx(0.5 * kto_loss(logps, ref, labels, z0, 0.1).loss.item(), abs=1e-6)


def test_gradient_raises_the_desirable_and_lowers_the_undesirable():
    logps = tensor(-3.0, -6.0, grad=True)
    apo_loss(logps, tensor(-4.0, -4.0), flags(True, False), tensor(0.2, 0.1), torch.tensor(0.5)).loss.backward()
    assert logps.grad[0] < 0 < logps.grad[1]


def test_gradient_of_kto_at_the_reference():
    # -+ beta sigmoid(0) (1 - sigmoid(0)) / B
    logps = tensor(-3.0, -6.0, grad=True)
    kto_loss(logps, tensor(-3.0, -6.0), flags(True, False), torch.tensor(0.0), beta=0.4).loss.backward()
    assert logps.grad.tolist() == pytest.approx([-0.05, 0.05], abs=1e-6)


def test_gradient_reaches_neither_reference_nor_error():
    logps, ref, l1 = tensor(-3.0, -6.0, grad=True), tensor(-4.0, -4.0, grad=True), tensor(0.2, 0.1, grad=True)
    apo_loss(logps, ref, flags(True, False), l1, torch.tensor(0.5)).loss.backward()
    assert ref.grad is None
    assert l1.grad is None


@pytest.mark.parametrize("labels", [(True, True, True), (True, True, False), (False, False, False)])
def test_a_batch_with_few_or_no_samples_of_a_class_is_finite(labels):
    logps = tensor(-3.0, -300.0, -1e4, grad=True)
    out = apo_loss(logps, tensor(-3.0, -3.0, -3.0), flags(*labels), tensor(0.0, 1.0, 2.0), torch.tensor(0.0))
    out.loss.backward()
    assert torch.isfinite(out.loss)
    assert torch.isfinite(logps.grad).all()


@pytest.mark.parametrize("labels", [(True, True), (True, False), (False, False)])
def test_kto_with_few_undesirable_samples_is_the_mean_over_the_rest(labels):
    logps = tensor(-3.0, -300.0, grad=True)
    out = kto_loss(logps, tensor(-3.0, -300.0), flags(*labels), torch.tensor(0.0))
    out.loss.backward()
    assert out.loss.item() == 0.5
    assert [value < 0 for value in logps.grad.tolist()] == list(labels)


def test_when_every_error_is_zero_the_gradient_still_has_both_signs():
    # lambda = (1 - exp(-1/2), exp(-1/2)), r = 0: the gradient is -+ lambda beta / 4 / 2
    logps = tensor(-3.0, -6.0, grad=True)
    apo_loss(logps, tensor(-3.0, -6.0), flags(True, False), tensor(0.0, 0.0), torch.tensor(0.0), 0.8).loss.backward()
    assert logps.grad.tolist() == pytest.approx([-0.0393469, 0.0606531], abs=1e-6)


def test_a_batch_of_one():
    logps = tensor(-3.0, grad=True)
    out = apo_loss(logps, tensor(-3.0), flags(True), tensor(0.4), kl_estimate(tensor(), tensor()))
    # w = 1, r = 0: lambda / 2
    assert out.loss.item() == pytest.approx((1 - math.exp(-1)) / 2, abs=1e-6)


@pytest.mark.parametrize("desirable", [True, False])
def test_a_batch_of_one_of_kto_has_the_sign_of_its_label(desirable):
    logps = tensor(-3.0, grad=True)
    out = kto_loss(logps, tensor(-3.0), flags(desirable), kl_estimate(tensor(), tensor()), beta=0.4)
    out.loss.backward()
    assert out.loss.item() == 0.5
    assert logps.grad.item() == pytest.approx(-0.1 if desirable else 0.1, abs=1e-6)


def test_at_the_reference_the_loss_is_half_the_mean_weight():
    logps = tensor(-7.0, -8.0)
    out = apo_loss(logps, logps, flags(True, False), tensor(0.1, 0.1), torch.tensor(0.0))
    assert out.loss.item() == pytest.approx(out.weights.mean().item() / 2, abs=1e-6)


def double(*values, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def test_gradients_agree_with_finite_differences():
    ref, labels, l1 = double(-4.0, -5.0, -2.0), flags(True, False, True), double(0.1, 0.4, 0.2)
    logps, z0 = double(-3.0, -6.5, -2.5, grad=True), torch.tensor(0.7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: apo_loss(x, ref, labels, l1, z0, 0.3, 1.0, 2.0, "mean").loss, logps)
    assert torch.autograd.gradcheck(lambda x: kto_loss(x, ref, labels, z0, 0.3).loss, logps)
