import numpy as np
import pytest

from apo_core.crop import crop_fault, cropped

IMAGE = np.arange(4 * 6).reshape(4, 6)


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        ("none", slice(0, 4), slice(0, 6)),
        ("square", slice(0, 4), slice(1, 5)),
        ("0,0,1,1", slice(0, 4), slice(0, 6)),
        ("0.25, 0.5, 0.5, 0.5", slice(1, 3), slice(3, 6)),
        ("0,0,0.01,0.01", slice(0, 1), slice(0, 1)),
        ("0.99,0.99,0.01,0.01", slice(3, 4), slice(5, 6)),
        ("0.1,0.3,0.9,0.7", slice(0, 4), slice(2, 6)),
    ],
)
def test_the_part_of_a_picture(crop, rows, columns):
    np.testing.assert_array_equal(cropped(IMAGE, crop), IMAGE[rows, columns])
    assert crop_fault(crop) == ""


def test_a_square_of_a_tall_picture():
    np.testing.assert_array_equal(cropped(IMAGE.T, "square"), IMAGE.T[1:5])


@pytest.mark.parametrize(
    "crop", ["", "center", "0,0,1", "0,0,0,1", "-0.1,0,1,1", "0.5,0,0.6,1", "0,80,9,9", "nan,0,1,1"]
)
def test_what_is_no_crop_is_named(crop):
    assert crop_fault(crop).startswith(f"{crop!r} is none of none, square")
    with pytest.raises(ValueError, match="is none of none, square"):
        cropped(IMAGE, crop)
