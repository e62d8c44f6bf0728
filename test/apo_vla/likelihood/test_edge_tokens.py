"""Tokens at the edges of the range."""

import numpy as np
import pytest
import torch

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.edge_tokens import EdgeTokens

# normalised, constant, gripper; of 8 bins the last two are one action
CODEC = ActionCodec([-1.0, 0.25, -1.0], [1.0, 0.25, 1.0], [True, True, False], bins=8)


def shares(*rows, mask=None):
    tokens = torch.tensor(rows)
    mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else torch.tensor(mask)
    return EdgeTokens(CODEC).shares(tokens, mask).tolist()


def test_first_and_last_class_of_a_dimension_are_edges():
    assert shares([0, 3, 3], [6, 3, 3], [7, 3, 3], [1, 3, 3], [5, 3, 3]) == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_constant_dimensions_and_the_gripper_do_not_count():
    assert shares([3, 0, 7], [3, 7, 0]) == [0.0, 0.0]


def test_rows_of_a_chunk_that_are_cut_do_not_count():
    tokens = [0, 3, 3, 3, 3, 3]
    assert shares(tokens) == [0.5]
    assert shares(tokens, mask=[[True] * 3 + [False] * 3]) == [1.0]


def test_without_a_dimension_that_counts_the_share_is_zero():
    codec = ActionCodec([0.0], [1.0], [False], bins=8)
    assert EdgeTokens(codec).shares(torch.tensor([[7]]), torch.tensor([[True]])).tolist() == [0.0]


def test_what_encodes_the_range_is_an_edge():
    low, high = CODEC.encode(np.array([[-1.0, 0.25, 0.0], [1.0, 0.25, 0.0]]))
    assert shares(low.tolist(), high.tolist()) == pytest.approx([1.0, 1.0])
