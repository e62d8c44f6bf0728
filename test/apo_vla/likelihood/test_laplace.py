"""The Laplace likelihood of an L1 head."""

import math

import numpy as np
import pytest
import torch

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.laplace import LaplaceLikelihood
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Others, Pass, Targets

CODEC = ActionCodec([-2.0, -1.0], [2.0, 1.0], [True, True])


class Head:
    """Predicts what the features are, (B, 1, R * A)."""

    def regress(self, features, prompt_ids):
        return features[:, 0]


def targets(values, mask):
    values, mask = torch.tensor(values), torch.tensor(mask)
    return Targets(values, mask, values, mask, torch.zeros(len(values), dtype=torch.int64))


def test_it_is_the_density_of_a_laplace_distribution():
    likelihood = LaplaceLikelihood(CODEC, LikelihoodSettings(laplace_scale=0.5))
    predicted = torch.tensor([[[0.0, 1.0]], [[0.5, -0.5]]], requires_grad=True)
    wanted = targets([[0.25, 1.0], [0.5, 0.5]], [[True, True], [True, False]])
    others = Others((0,), targets([[1.0, 1.0]], [[True, True]]))
    found = likelihood.scores(Head(), Pass(predicted, torch.zeros(2, 1), others=others), wanted)
    constant = math.log(1.0)  # log 2b
    assert found.logps.tolist() == pytest.approx([-0.5 - 2 * constant, -constant])
    reference = torch.distributions.Laplace(predicted.detach()[0, 0], 0.5).log_prob(torch.tensor([0.25, 1.0])).sum()
    assert found.logps[0].item() == pytest.approx(reference.item())
    assert found.other_logps.tolist() == pytest.approx([-2.0 - 2 * constant])
    assert found.l1.tolist() == pytest.approx([0.125, 0.0])
    assert found.edges.tolist() == [0.5, 0.0]
    assert found.logps.requires_grad and not found.other_logps.requires_grad and not found.l1.requires_grad


def test_targets_are_normalised_actions():
    encoded = LaplaceLikelihood(CODEC, LikelihoodSettings()).encode(
        np.array([[[1.0, -1.0]]], np.float32), np.array([[True]]), [None]
    )
    assert encoded.outputs.tolist() == [[0.5, -1.0]] and encoded.mask.tolist() == [[True, True]]
