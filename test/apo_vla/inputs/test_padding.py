import numpy as np

from apo_vla.inputs.padding import resize_by_pil, resize_with_padding


def stripes() -> np.ndarray:
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([x * 83 * (y + 1) % 256, y * 61 * (x + 3) % 256, (x * y * 37) % 256], -1).astype(np.uint8)


def test_openpi_resizes_as_its_client_does():
    # values of openpi_client.image_tools.resize_with_pad, a byte v is 2 v / 255 - 1
    found = np.rint((resize_by_pil(stripes(), 16).transpose(1, 2, 0) + 1) * 127.5).astype(int)
    assert found.shape == (16, 16, 3) and int(found.sum()) == 51074
    assert found[3, :3].tolist() == [[108, 118, 40], [178, 97, 90], [165, 90, 93]]
    assert found[8, 5].tolist() == [95, 117, 85] and found[11, 15].tolist() == [145, 111, 132]
    assert not found[:3].any() and not found[12:].any()


def test_openpi_leaves_an_image_of_the_right_size_as_it_is():
    image = np.ascontiguousarray(stripes()[:16, :16])
    np.testing.assert_allclose((resize_by_pil(image, 16) + 1) * 127.5, image.transpose(2, 0, 1), atol=1e-4)


def test_a_wide_image_is_padded_above_and_below():
    found = resize_with_padding(np.full((8, 16, 3), 255, np.uint8), 16)
    assert found.shape == (3, 16, 16)
    assert (found[:, 4:12] == 1.0).all() and (found[:, :4] == -1.0).all() and (found[:, 12:] == -1.0).all()


def test_an_image_that_is_not_centred_stands_at_the_bottom_and_the_right():
    found = resize_with_padding(np.full((8, 16, 3), 255, np.uint8), 16, centred=False)
    assert (found[:, 8:] == 1.0).all() and (found[:, :8] == -1.0).all()
    found = resize_with_padding(np.full((16, 8, 3), 255, np.uint8), 16, centred=False)
    assert (found[:, :, 8:] == 1.0).all() and (found[:, :, :8] == -1.0).all()


def test_an_image_that_fits_is_not_resized():
    image = np.ascontiguousarray(stripes()[:16, :16])
    for centred in (True, False):
        found = resize_with_padding(image, 16, centred=centred)
        np.testing.assert_allclose((found + 1) * 127.5, image.transpose(2, 0, 1), atol=1e-4)
