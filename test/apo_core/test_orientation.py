import numpy as np
import pytest

from apo_core.orientation import ORIENTATIONS, oriented

IMAGE = np.array([[[1], [2]], [[3], [4]]], np.uint8)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [("none", [1, 2, 3, 4]), ("flip_vertical", [3, 4, 1, 2]), ("mirror", [2, 1, 4, 3]), ("rotate_180", [4, 3, 2, 1])],
)
def test_an_image_is_turned(orientation, expected):
    assert oriented(IMAGE, orientation).ravel().tolist() == expected


def test_every_orientation_undoes_itself():
    for orientation in ORIENTATIONS:
        np.testing.assert_array_equal(oriented(oriented(IMAGE, orientation), orientation), IMAGE)


def test_an_unknown_orientation_is_an_error():
    with pytest.raises(ValueError, match="orientation = 'left' is none of none, flip_vertical, mirror, rotate_180"):
        oriented(IMAGE, "left")
