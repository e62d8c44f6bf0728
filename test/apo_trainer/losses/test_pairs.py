"""DPO and TPO against numbers computed by hand."""

import math

import pytest
import torch
from tensors import tensor

from apo_trainer.losses import dpo_loss, rpro_loss, tpo_loss


def test_dpo_loss_of_literals():
    # two pairs, r_w = (2, -0.5), r_l = (-1, 1.5), beta = 0.5: -ln sigmoid(1.5) and -ln sigmoid(-1)
    out = dpo_loss(tensor(-3.0, -5.5, -6.0, -4.5), tensor(-5.0, -5.0, -5.0, -6.0), beta=0.5)
    assert out.log_ratios.tolist() == pytest.approx([2.0, -0.5, -1.0, 1.5])
    assert out.loss.item() == pytest.approx((0.2014133 + 1.3132617) / 2, abs=1e-6)
    assert out.weights.tolist() == pytest.approx([0.1824255, 0.7310586, 0.1824255, 0.7310586], abs=1e-6)


def test_dpo_at_the_reference_is_ln_2():
    logps = tensor(-3.0, -9.0)
    assert dpo_loss(logps, logps).loss.item() == pytest.approx(math.log(2), abs=1e-6)


def test_dpo_gradient_raises_the_preferred_and_lowers_the_rejected():
    logps = tensor(-3.0, -6.0, grad=True)
    dpo_loss(logps, tensor(-3.0, -6.0), beta=0.4).loss.backward()
    # beta sigmoid(0) to both sides
    assert logps.grad.tolist() == pytest.approx([-0.2, 0.2], abs=1e-6)


def test_tpo_gradient_is_the_same_for_every_step_of_a_window():
    logps = tensor(-3.0, -6.0, -1.0, -2.0, grad=True)
    tpo_loss(logps, tensor(-3.0, -6.0, -1.0, -2.0), window=2, beta=0.4).loss.backward()
    assert logps.grad.tolist() == pytest.approx([-0.2, -0.2, 0.2, 0.2], abs=1e-6)


def test_a_pair_that_is_settled_hardly_moves():
    logps = tensor(-3.0, -90.0, grad=True)
    dpo_loss(logps, tensor(-40.0, -40.0), beta=1.0).loss.backward()
    assert logps.grad.abs().max().item() < 1e-12
    assert torch.isfinite(logps.grad).all()


def test_tpo_sums_over_the_steps_of_a_window():
    # one pair of windows of two steps: R_w = 1 - 0.5, R_l = -1 + 0, beta = 0.1: -ln sigmoid(0.15)
    out = tpo_loss(tensor(-2.0, -3.5, -6.0, -4.0), tensor(-3.0, -3.0, -5.0, -4.0), window=2, beta=0.1)
    assert out.loss.item() == pytest.approx(0.6209570, abs=1e-6)


def test_tpo_pairs_the_first_preferred_window_with_the_first_rejected_one():
    # windows of two: preferred (1, 0), (0, 0); rejected (-1, 0), (0, 3); beta = 1: margins 2 and -3
    out = tpo_loss(tensor(1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 3.0), torch.zeros(8), window=2, beta=1.0)
    assert out.loss.item() == pytest.approx((0.1269280 + 3.0485874) / 2, abs=1e-6)
    assert out.weights.tolist() == pytest.approx([0.1192029] * 2 + [0.9525741] * 2 + [0.1192029] * 2 + [0.9525741] * 2)


def test_tpo_with_windows_of_one_step_is_dpo():
    logps, ref = tensor(-3.0, -5.5, -6.0, -4.5), tensor(-5.0, -5.0, -5.0, -6.0)
    assert tpo_loss(logps, ref, 1, 0.3).loss.item() == dpo_loss(logps, ref, 0.3).loss.item()


@pytest.mark.parametrize(("rows", "window"), [(3, 1), (6, 2), (0, 1)])
def test_rows_that_make_no_pairs_are_rejected(rows, window):
    with pytest.raises(ValueError, match=f"{rows} rows do not make pairs of windows of {window} steps"):
        tpo_loss(torch.zeros(rows), torch.zeros(rows), window)


def test_gradients_agree_with_finite_differences():
    logps = torch.tensor([-3.0, -6.5, -2.5, -4.0], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([-4.0, -5.0, -2.0, -4.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: dpo_loss(x, ref, 0.3).loss, logps)
    assert torch.autograd.gradcheck(lambda x: tpo_loss(x, ref, 2, 0.3).loss, logps)


def test_rpro_without_its_proximal_term_is_dpo():
    logps, ref = tensor(-3.0, -5.5, -6.0, -4.5), tensor(-5.0, -5.0, -5.0, -6.0)
    assert rpro_loss(logps, ref, 0.3, alpha=0.0).loss.item() == dpo_loss(logps, ref, 0.3).loss.item()


def test_rpro_loss_of_literals():
    # r_w = 0.5 * 2, r_l = 0.5 * -1: -ln sigmoid(1.5) + 2 (KL(B(1/2) || B(0.7310586)) + KL(B(1/2) || B(0.3775407)))
    out = rpro_loss(tensor(-3.0, -6.0), tensor(-5.0, -5.0), beta=0.5, alpha=2.0)
    kl = [0.5 * math.log(0.25 / (p * (1 - p))) for p in (0.7310586, 0.3775407)]
    assert out.loss.item() == pytest.approx(0.2014133 + 2.0 * sum(kl), abs=1e-6)


def test_rpro_holds_a_pair_that_falls_together_where_dpo_does_not():
    logps = tensor(-40.0, -60.0, grad=True)
    ref = tensor(-3.0, -3.0)
    dpo_loss(logps, ref, beta=1.0).loss.backward()
    assert logps.grad.abs().max().item() < 1e-6
    logps.grad = None
    rpro_loss(logps, ref, beta=1.0, alpha=1.0).loss.backward()
    # -tanh(r / 2) / 2 to each: both are raised
    assert logps.grad.tolist() == pytest.approx([-0.5, -0.5], abs=1e-4)


def test_rpro_gradients_agree_with_finite_differences():
    logps = torch.tensor([-3.0, -6.5, -2.5, -4.0], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([-4.0, -5.0, -2.0, -4.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: rpro_loss(x, ref, 0.3, 0.7).loss, logps)
