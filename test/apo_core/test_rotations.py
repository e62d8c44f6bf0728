"""Turns of orientations by rotation vectors, and the turn between two."""

from math import pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.rotations import matrix_from_quaternion, rotated, turn_between

LEVEL = np.array([0.0, 0.0, 0.0, 1.0])


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(turn_between(a, b)))


def test_a_quarter_turn_about_each_axis_is_exact():
    half = sqrt(0.5)
    for axis in range(3):
        turned = rotated(LEVEL, np.eye(3)[axis] * pi / 2)
        np.testing.assert_allclose(turned, [*(np.eye(3)[axis] * half), half], atol=1e-15)


def test_the_rotation_is_about_the_fixed_axes():
    tilted = rotated(LEVEL, np.array([pi / 2, 0, 0]))
    turned = matrix_from_quaternion(rotated(tilted, np.array([0, 0, pi / 2])))
    # first about x, then about the fixed z
    np.testing.assert_allclose(turned, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-15)


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.integers(1, 40))
def test_many_small_turns_are_one_large_one(rotation, parts):
    rotation, q = np.array(rotation), LEVEL
    for _ in range(parts):
        q = rotated(q, rotation / parts)
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-12)
    assert angle_between(q, rotated(LEVEL, rotation)) == pytest.approx(0.0, abs=1e-7)


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.lists(st.floats(-1.7, 1.7), min_size=3, max_size=3))
def test_the_turn_between_two_orientations_leads_from_one_to_the_other(begin, rotation):
    start = rotated(LEVEL, np.array(begin))
    end = rotated(start, np.array(rotation))
    for same in (end, -end):
        np.testing.assert_allclose(turn_between(start, same), rotation, atol=1e-7)
