import json

import numpy as np
import pytest
from PIL import Image

from apo_core.errors import CheckpointError, ObservationError
from apo_vla.families.openvla.images import ImageSettings, crop, process, read_image_settings, resize

MEANS, STDS = ((0.5, 0.25, 0.0), (0.5, 0.5, 0.5)), ((0.25, 0.5, 1.0), (0.5, 0.5, 0.5))


def settings(size: int = 28, centre_crop: bool = False, resampling: str = "bicubic") -> ImageSettings:
    return ImageSettings(size, MEANS, STDS, centre_crop, resampling)


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_each_tower_has_its_own_normalisation():
    image = np.full((28, 28, 3), 255, np.uint8)
    found = process(image, settings())
    assert found.dtype == np.float32 and found.shape == (6, 28, 28)
    np.testing.assert_allclose(found[:, 3, 5], [2.0, 1.5, 1.0, 1.0, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_resizing_is_that_of_pil(name):
    image = noise(84)
    wanted = np.asarray(Image.fromarray(image).resize((28, 28), Image.Resampling[name.upper()]), np.float32) / 255
    found = process(image, settings(resampling=name))
    np.testing.assert_allclose(found[3:], (wanted * 2 - 1).transpose(2, 0, 1), atol=1e-6)


def test_an_image_of_the_right_size_is_not_resampled():
    image = noise(28)
    np.testing.assert_allclose((process(image, settings())[3:] + 1) * 127.5, image.transpose(2, 0, 1), atol=1e-4)


def test_a_crop_samples_corners_on_corners():
    # tf.image.crop_and_resize at boxes of sqrt(0.9): sample i lies at (0.0257 + 0.9487 i / 4) * 4, so 5.13, 52.57, ...
    ramp = np.repeat(np.array([0, 50, 100, 150, 200], np.uint8)[:, None], 5, axis=1)
    image = np.stack([ramp, ramp.T, ramp], axis=-1)
    found = crop(image)
    assert found[:, 0, 0].tolist() == [5, 52, 100, 147, 195]
    assert found[0, :, 1].tolist() == [5, 52, 100, 147, 195]


def test_a_crop_cuts_fractions_off_as_tensorflow_does():
    # values of TensorFlow 2.21: convert_image_dtype, crop_and_resize, convert_image_dtype with saturate
    found = crop((np.arange(192).reshape(8, 8, 3) * 83 % 256).astype(np.uint8))
    assert found[0, :4].tolist() == [[72, 71, 154], [238, 65, 148], [231, 58, 141], [225, 53, 135]]
    assert found[4, 5].tolist() == [229, 82, 165] and found[7, 7].tolist() == [82, 165, 202]


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_a_crop_keeps_the_level_of_an_even_image(level):
    assert (crop(np.full((16, 16, 3), level, np.uint8)) == level).all()


def gradient() -> np.ndarray:
    y, x = np.mgrid[0:12, 0:12]
    return np.stack([20 * x, 20 * y, 255 - 10 * (x + y)], -1).astype(np.uint8)


def test_pictures_of_libero_are_resized_as_their_authors_do():
    # values of TensorFlow 2.21: encode_jpeg, decode_image, resize with lanczos3 and antialias, round, clip
    found = resize(gradient(), 8, "lanczos_jpeg")
    assert found[0, :3].tolist() == [[4, 4, 228], [28, 5, 221], [60, 5, 206]]
    assert found[5, 4].tolist() == [125, 156, 116]


def test_pictures_of_libero_go_through_jpeg_at_any_size():
    found = resize(gradient(), 12, "lanczos_jpeg")
    assert found[0, :4].tolist() == [[0, 0, 226], [12, 1, 225], [32, 1, 218], [53, 1, 207]]


def test_the_other_filters_do_not_go_through_jpeg():
    for name in ("bicubic", "lanczos"):
        np.testing.assert_array_equal(resize(gradient(), 12, name), gradient())


def test_training_draws_the_crop_and_the_colours():
    image, rng = noise(56), np.random.default_rng(3)
    first, second = (process(image, settings(centre_crop=True), rng) for _ in range(2))
    assert np.abs(first - second).mean() > 0.01
    again = process(image, settings(centre_crop=True), np.random.default_rng(3))
    np.testing.assert_array_equal(first, again)


def test_a_grey_image_is_three_equal_channels():
    grey = noise(28)[..., :1]
    np.testing.assert_array_equal(process(grey, settings()), process(np.repeat(grey, 3, axis=2), settings()))


@pytest.mark.parametrize("image", [np.zeros((28, 28, 3), np.float32), np.zeros((28, 28, 4), np.uint8)])
def test_what_is_no_image_is_rejected(image):
    with pytest.raises(ObservationError, match=r"must be uint8 \(H, W, 3\)"):
        process(image, settings())


def write(folder, **changes):
    data = {"image_resize_strategy": "resize-naive", "input_sizes": [[3, 28, 28]] * 2, "means": MEANS, "stds": STDS}
    (folder / "preprocessor_config.json").write_text(json.dumps({**data, **changes}))


def test_constants_are_read_from_the_checkpoint(tmp_path):
    write(tmp_path)
    assert read_image_settings(tmp_path, 28, 2, True, "lanczos") == ImageSettings(28, MEANS, STDS, True, "lanczos")


def test_every_fault_of_the_constants_is_named(tmp_path):
    write(tmp_path, image_resize_strategy="letterbox", input_sizes=[[3, 224, 224]], stds=[[0.0, 1, 1]] * 2)
    with pytest.raises(CheckpointError, match=r"'letterbox', only 'resize-naive'.*input_sizes.*stds.*above 0"):
        read_image_settings(tmp_path, 28, 2, False, "bicubic")


def test_missing_constants_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json: cannot be read"):
        read_image_settings(tmp_path, 28, 2, False, "bicubic")
