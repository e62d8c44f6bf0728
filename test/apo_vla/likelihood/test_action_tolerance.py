"""A bin next to the recorded one is nearly the same action."""

import numpy as np
import pytest
import torch

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.action_tolerance import TolerantActions, action_scores

# bins 0..4 have centres -0.75, -0.25, 0.25, 0.75, 0.75; the second dimension is constant
CODEC = ActionCodec(np.array([-1.0, 0.5]), np.array([1.0, 0.5]), np.array([True, True]), bins=5)
SHARES = [0.1, 0.2, 0.3, 0.15, 0.25]


def logits(shares=SHARES, dimensions: int = 2) -> torch.Tensor:
    """The same shares in every dimension; a constant beside them changes nothing."""
    return torch.tensor(np.log(shares))[None, None].expand(1, dimensions, -1) + 3.0


@pytest.mark.parametrize(
    ("token", "weights"),
    [
        (0, [1.0, 0.8824969, 0.6065307, 0.3246525, 0.3246525]),
        (2, [0.6065307, 0.8824969, 1.0, 0.8824969, 0.8824969]),
        (3, [0.3246525, 0.6065307, 0.8824969, 1.0, 1.0]),
        (4, [0.3246525, 0.6065307, 0.8824969, 1.0, 1.0]),
    ],
)
def test_bins_count_by_their_distance_in_bins(token, weights):
    found = TolerantActions(CODEC, 2.0).log_probs(logits(), torch.tensor([[token, 0]]))
    assert found[0, 0].item() == pytest.approx(np.log(np.dot(weights, SHARES)), abs=1e-6)


def test_of_a_constant_dimension_every_bin_is_the_action():
    found = TolerantActions(CODEC, 0.1).log_probs(logits(), torch.tensor([[0, 3]]))
    assert found[0, 1].item() == pytest.approx(0.0, abs=1e-6)


def test_rows_of_a_chunk_take_their_dimensions_in_turn():
    found = TolerantActions(CODEC, 2.0).log_probs(logits(dimensions=4), torch.tensor([[1, 0, 1, 0]]))
    torch.testing.assert_close(found[0, :2], found[0, 2:])


def test_a_small_tolerance_counts_bins_of_one_value_alone():
    scores = TolerantActions(CODEC, 0.01)
    found = [scores.log_probs(logits(), torch.tensor([[token, 0]]))[0, 0].item() for token in range(5)]
    np.testing.assert_allclose(np.exp(found), [0.1, 0.2, 0.3, 0.4, 0.4], rtol=1e-6)


def test_bins_are_scored_exactly_without_a_tolerance():
    assert isinstance(action_scores(CODEC, 0.0), ActionClasses)
    assert isinstance(action_scores(CODEC, 2.0), TolerantActions)
