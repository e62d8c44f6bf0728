import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.actions import SIZE, GripperScale, normalised_dimensions, shortened, shortened_array


@pytest.mark.parametrize(
    ("open_m", "closed_m", "value", "position"),
    [(0.08, 0.0, -1, 0.08), (0.08, 0.0, 1, 0.0), (0.08, 0.0, 0, 0.04), (0.0, 0.8, 0.5, 0.6), (0.04, 0.01, 1, 0.01)],
)
def test_position_lies_between_open_and_closed(open_m, closed_m, value, position):
    scale = GripperScale(open_m, closed_m)
    assert scale.position(value) == pytest.approx(position, abs=1e-15)
    assert scale.value(position) == pytest.approx(value, abs=1e-12)


@given(st.floats(-1, 1, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6))
def test_float32_values_come_back_as_they_were(value):
    scale = GripperScale(0.08, 0.0)
    assert np.float32(scale.value(scale.position(np.float32(value)))) == np.float32(value)


def test_a_longer_vector_keeps_its_direction():
    vector, length = shortened([3.0, 0.0, -4.0], 1.0)
    assert vector == pytest.approx([0.6, 0.0, -0.8]) and length == 5.0


@pytest.mark.parametrize("vector", [[0.0, 0.0, 0.0], [0.3, 0.0, 0.4], [0.1]])
def test_a_vector_within_the_length_is_unchanged(vector):
    assert shortened(vector, 0.5)[0] == vector


def test_an_array_is_shortened_like_a_vector():
    np.testing.assert_array_equal(shortened_array(np.array([3.0, 0.0, -4.0]), 1.0), shortened([3.0, 0.0, -4.0], 1.0)[0])
    np.testing.assert_array_equal(shortened_array(np.array([0.25, 0.5]), 1.0), [0.25, 0.5])


def test_the_gripper_alone_is_not_normalised():
    assert normalised_dimensions(SIZE) == [True] * 6 + [False]
    assert normalised_dimensions(9) == [True] * 6 + [False, True, True]
