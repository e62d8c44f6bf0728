import hashlib

import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes.hdf5.image_codec import pack, unpack, unpack_jpeg

FRAME = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
SMOOTH = np.stack([np.add.outer(np.arange(48), np.arange(64))] * 3, -1).astype(np.uint8)
DEPTH = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16, 1) * 300


def unpacked(data: bytes, codec: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    out = np.empty(shape, dtype)
    unpack(data, codec, out)
    return out


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("frame", [FRAME, FRAME[:, :, :1], DEPTH], ids=["colour", "grey", "depth"])
def test_lossless_codecs_keep_every_bit(codec, frame):
    packed = pack(frame, codec, 95)
    found = unpacked(packed.data, codec, frame.shape, frame.dtype)
    assert found.dtype == frame.dtype
    np.testing.assert_array_equal(found, frame)
    assert packed.digest == hashlib.sha256(frame.tobytes()).digest()


@pytest.mark.parametrize("channels", [3, 1])
def test_jpeg_comes_close_and_is_smaller(channels):
    frame = SMOOTH[:, :, :channels]
    fine, coarse = pack(frame, "jpeg", 95), pack(frame, "jpeg", 30)
    found = unpack_jpeg(fine.data, frame.shape)
    assert found.shape == frame.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - frame).mean() < 3
    assert len(coarse.data) < len(fine.data) < frame.nbytes


def test_jpeg_keeps_the_order_of_the_channels():
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 200
    found = unpack_jpeg(pack(red, "jpeg", 95).data, red.shape)
    assert found[..., 0].mean() > 190 and found[..., 1:].mean() < 10


def test_depth_is_never_jpeg():
    np.testing.assert_array_equal(unpacked(pack(DEPTH, "jpeg", 50).data, "zstd", DEPTH.shape, DEPTH.dtype), DEPTH)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_data_of_another_size_are_rejected(codec):
    packed = pack(FRAME, codec, 95).data
    for shape in ((12, 16, 1), (24, 16, 3), (1, 1, 1)):
        with pytest.raises(EpisodeFormatError, match="cannot be unpacked"):
            unpacked(packed, codec, shape, FRAME.dtype)
    with pytest.raises(EpisodeFormatError):
        unpacked(packed[: len(packed) // 2], codec, FRAME.shape, FRAME.dtype)


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_bomb_is_rejected(codec):
    packed = pack(np.zeros((4096, 4096, 3), np.uint8), codec, 95).data
    with pytest.raises(EpisodeFormatError):
        unpacked(packed, codec, (4, 4, 3), np.dtype(np.uint8))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"text" * 50])
def test_what_is_no_jpeg_is_rejected(data):
    with pytest.raises(EpisodeFormatError, match="JPEG"):
        unpack_jpeg(data, (12, 16, 3))


def test_jpeg_of_another_size_is_rejected():
    with pytest.raises(EpisodeFormatError, match=r"not of the contract's shape \(4, 4, 3\)"):
        unpack_jpeg(pack(SMOOTH, "jpeg", 90).data, (4, 4, 3))
