import math

import pytest
import torch

from apo_vla.actions.nearness import log_nearness, nearness_of_bins


def test_nearness_is_a_gaussian_of_the_distance():
    found = log_nearness(torch.tensor([0.0, 1.0, 1.0, 3.0], dtype=torch.float64), 2.0)
    assert found.dtype == torch.float64 and torch.equal(found, found.T)
    assert found[0].tolist() == [0.0, -0.125, -0.125, -1.125] and found[1, 2] == 0.0


def test_bins_one_deviation_apart_have_the_root_of_e():
    found = nearness_of_bins(8, 3.0)
    assert found.dtype == torch.float32 and found.shape == (8, 8)
    assert found.diagonal().tolist() == [1.0] * 8
    assert found[2, 5] == pytest.approx(math.exp(-0.5))


def test_spread_likelihood_outweighs_one_likely_bin():
    likelihood = torch.zeros(256)
    likelihood[128] = 0.3
    likelihood[200:207] = 0.1
    assert (likelihood @ nearness_of_bins(256, 3.0)).argmax() == 203


def test_without_tolerance_there_is_no_nearness():
    assert nearness_of_bins(256, 0.0) is None
