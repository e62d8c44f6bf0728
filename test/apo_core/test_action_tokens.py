import array

import numpy as np
import pytest

from apo_core.action_tokens import known_tokens


@pytest.mark.parametrize("tokens", [np.arange(6), np.arange(6, dtype=np.uint8), array.array("i", range(6))])
def test_tokens_take_the_shape_of_their_values(tokens):
    found = known_tokens(tokens, (2, 3))
    assert found.dtype == np.int32 and found.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        np.arange(5),
        np.arange(7),
        np.arange(0),
        np.arange(6.0),
        np.zeros(6, bool),
        np.arange(6) - 1,
        np.arange(6) + 2**31,
        array.array("i"),
        "tokens",
    ],
    ids=["none", "short", "long", "empty", "continuous", "bool", "negative", "beyond int32", "empty field", "text"],
)
def test_what_is_malformed_is_unknown(tokens):
    assert known_tokens(tokens, (2, 3)) is None
