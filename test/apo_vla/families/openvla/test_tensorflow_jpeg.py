"""Literal values are of TensorFlow 2.21: tf.io.decode_image(tf.image.encode_jpeg(image))."""

import io

import numpy as np
import pytest
from PIL import Image

from apo_vla.families.openvla.tensorflow_jpeg import through_jpeg


def noise(height: int, width: int) -> np.ndarray:
    return (np.arange(height * width * 3).reshape(height, width, 3) * 83 % 256).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "first", "last", "total"),
    [
        ((8, 8), [[133, 19, 114], [209, 85, 173], [225, 74, 151]], [86, 167, 124], 24646),
        ((16, 16), [[54, 77, 31], [138, 144, 98], [156, 124, 83]], [26, 103, 59], 97402),
        ((12, 20), [[55, 81, 33], [136, 142, 94], [158, 126, 79]], [103, 190, 137], 91519),
        ((17, 31), [[43, 68, 148], [123, 128, 209], [148, 113, 193]], [161, 240, 97], 200499),
        ((40, 33), [[46, 60, 149], [123, 123, 209], [140, 111, 191]], [235, 67, 145], 502560),
    ],
)
def test_a_picture_comes_back_as_from_tensorflow(shape, first, last, total):
    found = through_jpeg(noise(*shape))
    assert found.dtype == np.uint8 and found.shape == (*shape, 3)
    assert found[0, :3].tolist() == first and found[-1, -1].tolist() == last
    assert int(found.sum()) == total


def test_a_picture_is_close_to_that_of_another_decoder():
    y, x = np.mgrid[0:48, 0:64]
    image = np.stack([4 * x, 5 * y, 255 - 2 * (x + y)], -1).astype(np.uint8)
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=95)
    other = np.asarray(Image.open(stored)).astype(int)
    assert np.abs(through_jpeg(image).astype(int) - other).mean() < 3


@pytest.mark.parametrize("level", [0, 127, 255])
def test_an_even_picture_stays_as_it_is(level):
    image = np.full((20, 24, 3), level, np.uint8)
    np.testing.assert_array_equal(through_jpeg(image), image)
