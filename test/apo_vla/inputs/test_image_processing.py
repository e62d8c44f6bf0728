import numpy as np
import pytest

from apo_core.errors import ObservationError
from apo_vla.inputs.image_processing import ColourJitter, process_image, process_images


def ramp(height: int = 84, width: int = 84) -> np.ndarray:
    """Red grows with the column, green with the row."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.arange(width)[None] * 2
    image[..., 1] = np.arange(height)[:, None] * 2
    return image


def test_serving_takes_the_centre_nine_tenths_of_the_area():
    pixels = process_image(ramp(), 64)
    assert pixels.shape == (3, 64, 64) and pixels.dtype == np.float32 and pixels.flags.c_contiguous
    # crop of side 84 sqrt(0.9) = 79.69 from 2.155: outermost pixel centres 0.6226 inside it, less half a pixel
    first, last = (2.1553 + 0.6226 - 0.5) * 2, (83.5 - 2.1553 - 0.6226) * 2
    np.testing.assert_allclose(pixels[0, :, 0], first / 127.5 - 1, atol=0.01)
    np.testing.assert_allclose(pixels[0, :, -1], last / 127.5 - 1, atol=0.01)
    np.testing.assert_allclose(pixels[1], pixels[0].T, atol=1e-6)
    np.testing.assert_allclose(pixels[2], -1.0, atol=1e-6)


def test_serving_is_deterministic_and_training_follows_its_rng():
    image = np.random.default_rng(0).integers(0, 255, (84, 84, 3), dtype=np.uint8)
    np.testing.assert_array_equal(process_image(image, 32), process_image(image, 32))
    one, again, other = (process_image(image, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.05


def test_the_training_crop_moves_but_does_not_zoom():
    still = ColourJitter(0.0, 0.0, 0.0)
    spans, starts = [], []
    for seed in range(20):
        row = process_image(ramp(), 64, np.random.default_rng(seed), still)[0, 32]
        spans.append(row[-1] - row[0])
        starts.append(row[0])
    assert max(spans) - min(spans) < 0.02
    # the crop's left edge moves over 4.3 pixels of 2/127.5 each
    assert 0.03 < max(starts) - min(starts) < 4.4 * 2 / 127.5


def test_colour_jitter_changes_a_plain_image_as_a_whole():
    grey = np.full((84, 84, 3), 100, dtype=np.uint8)
    pixels = process_image(grey, 16, np.random.default_rng(3), ColourJitter(0.5, 0.0, 0.0))
    assert np.ptp(pixels) < 1e-5
    assert not np.isclose(pixels[0, 0, 0], 100 / 127.5 - 1)
    # contrast leaves the mean, saturation leaves grey
    pixels = process_image(grey, 16, np.random.default_rng(3), ColourJitter(0.0, 0.5, 0.5))
    np.testing.assert_allclose(pixels, 100 / 127.5 - 1, atol=1e-5)


def test_a_camera_much_larger_than_the_model_is_averaged():
    noise = np.random.default_rng(0).integers(0, 255, (640, 640, 3), dtype=np.uint8)
    assert process_image(noise, 64).std() < 0.15


def test_a_batch_equals_its_images():
    images = list(np.random.default_rng(0).integers(0, 255, (3, 84, 84, 3), dtype=np.uint8))
    np.testing.assert_array_equal(process_images(images, 32)[1], process_image(images[1], 32))


@pytest.mark.parametrize("image", [np.zeros((84, 84, 3)), np.zeros((84, 84), np.uint8), np.zeros((4, 84, 3), np.uint8)])
def test_what_is_not_an_image_is_rejected(image):
    with pytest.raises(ObservationError, match="must be uint8"):
        process_image(image, 64)
