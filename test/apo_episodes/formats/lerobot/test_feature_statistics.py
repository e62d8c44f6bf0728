import numpy as np
import pytest

from apo_episodes.formats.lerobot.feature_statistics import PixelMoments, moments


def test_of_vectors():
    found = moments(np.array([[0, 10], [1, 20], [2, 30]], np.float32))
    assert found["count"] == [3]
    assert (found["min"], found["max"], found["mean"]) == ([0, 10], [2, 30], [1, 20])
    assert found["std"] == pytest.approx([(2 / 3) ** 0.5, 10 * (2 / 3) ** 0.5])
    assert found["q50"] == [1, 20] and found["q90"] == pytest.approx([1.8, 28])


def test_of_numbers_and_flags():
    assert moments(np.array([True, False, True, True]))["mean"] == [0.75]


def test_of_pixels_is_of_all_pixels_of_all_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 10, 12, 3), np.uint8)
    images[..., 2] //= 3
    first, second = PixelMoments(), PixelMoments()
    for image in images[:1]:
        first.update(image)
    for image in images[1:]:
        second.update(image)
    first.add(second)
    found = first.moments(4)
    pixels = images.reshape(-1, 3) / 255
    assert found["count"] == [4]
    for name, expected in (
        ("mean", pixels.mean(axis=0)),
        ("std", pixels.std(axis=0)),
        ("min", pixels.min(axis=0)),
        ("max", pixels.max(axis=0)),
        ("q01", np.quantile(pixels, 0.01, axis=0, method="inverted_cdf")),
        ("q50", np.quantile(pixels, 0.50, axis=0, method="inverted_cdf")),
        ("q99", np.quantile(pixels, 0.99, axis=0, method="inverted_cdf")),
    ):
        assert np.shape(found[name]) == (3, 1, 1)
        np.testing.assert_allclose(np.ravel(found[name]), expected, atol=1e-9)
