import numpy as np
import pytest

from apo_vla.actions.bins import BinActions
from apo_vla.actions.codec import ActionCodec


@pytest.fixture
def bins() -> BinActions:
    return BinActions(ActionCodec([-1.0, 0.0], [1.0, 2.0], [True, True]))


def test_tokens_of_a_row_stand_side_by_side(bins):
    found = bins.actions(np.array([0, 254, 127, 127]))
    assert found.shape == (2, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found, [[-1.0, 2.0], [0.0, 1.0]], atol=5e-3)


def test_log_probabilities_of_a_row_add_up(bins):
    assert bins.row_log_probs(np.array([-1.0, -2.0, -3.0, -4.0])).tolist() == [-3.0, -7.0]
