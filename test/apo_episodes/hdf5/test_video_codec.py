import importlib

import av
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes.hdf5.video_codec import decode_group, encode_group

Y, X = np.mgrid[:30, :50]
FRAMES = np.stack([np.stack([40 + 2 * X, 60 + Y + n, np.full_like(X, 120 + n)], -1) for n in range(7)]).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 7])
def test_every_frame_comes_back_in_order(count):
    packets = encode_group(FRAMES[:count], 10)
    assert len(packets) == count
    found = decode_group(packets, (30, 50, 3))
    assert (found.shape, found.dtype) == ((count, 30, 50, 3), np.uint8)
    for frame, original in zip(found, FRAMES, strict=False):
        assert np.abs(frame.astype(int) - original).max() <= 6


def test_a_grey_camera_is_read_as_grey():
    found = decode_group(encode_group(FRAMES[:, :, :, :1], 10), (30, 50, 1))
    assert found.shape == (7, 30, 50, 1)
    assert np.abs(found.astype(int) - FRAMES[:, :, :, :1]).max() <= 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (17, 33)])
def test_sides_may_be_odd_and_tiny(shape):
    frames = np.full((2, *shape, 3), (200, 30, 90), np.uint8)
    found = decode_group(encode_group(frames, 10), (*shape, 3))
    assert np.abs(found.astype(int) - frames).max() <= 4


def test_the_channels_keep_their_order():
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    found = decode_group(encode_group(red, 20), (16, 16, 3))
    assert found[..., 0].min() > 190 and found[..., 1:].max() < 10


def test_a_higher_crf_takes_fewer_bytes():
    noisy = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), np.uint8)
    sizes = [sum(map(len, encode_group(noisy, crf))) for crf in (10, 30, 50)]
    assert sizes == sorted(sizes, reverse=True) and sizes[2] < sizes[0] // 4


def test_no_packet_needs_a_later_one():
    packets = encode_group(FRAMES, 20)
    whole = decode_group(packets, (30, 50, 3))
    for count in range(1, 7):
        np.testing.assert_array_equal(decode_group(packets[:count], (30, 50, 3)), whole[:count])


PACKETS = encode_group(FRAMES, 20)
BROKEN = {
    "empty": [b""],
    "text": [b"text" * 50],
    "without its key frame": PACKETS[1:],
    "key frame cut off": [PACKETS[0][: len(PACKETS[0]) // 2], *PACKETS[1:]],
    "two frames in a packet": [PACKETS[0] + PACKETS[1], *PACKETS[2:]],
    "frame missing": [PACKETS[0], PACKETS[1], b"\0\0\0\1\x0c\xff\x80", *PACKETS[2:]],
}


@pytest.mark.parametrize("packets", BROKEN.values(), ids=BROKEN)
def test_packets_that_are_not_one_frame_each_are_rejected(packets):
    with pytest.raises(EpisodeFormatError, match="video packet"):
        decode_group(packets, (30, 50, 3))


@pytest.mark.parametrize("shape", [(30, 48, 3), (32, 50, 3), (4, 4, 3), (480, 640, 3)])
def test_frames_of_another_size_are_rejected(shape):
    with pytest.raises(EpisodeFormatError, match="video"):
        decode_group(PACKETS, shape)


def test_a_huge_frame_takes_no_memory():
    huge = encode_group(np.zeros((1, 4096, 4096, 1), np.uint8), 51)
    assert len(huge[0]) < 20_000
    with pytest.raises(EpisodeFormatError, match="video packet is damaged"):
        decode_group(huge, (30, 50, 3))


def test_random_damage_gives_frames_or_the_one_error():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(100):
        packets = [bytearray(packet) for packet in PACKETS]
        packet = packets[int(rng.integers(len(packets)))]
        for at in rng.integers(0, len(packet), 3):
            packet[at] ^= 1 << int(rng.integers(8))
        try:
            assert decode_group([bytes(packet) for packet in packets], (30, 50, 3)).shape == (7, 30, 50, 3)
        except EpisodeFormatError:
            rejected += 1
    assert rejected > 20


def test_a_decoder_for_streams_reads_a_group():
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for data in PACKETS for picture in decoder.decode(av.Packet(data))]
    pictures += decoder.decode(None)
    assert [(p.width, p.height, p.key_frame) for p in pictures] == [(50, 30, n == 0) for n in range(7)]


def test_what_to_install_is_named(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EpisodeFormatError, match=r"pip install -c requirements/lock.txt -r requirements/video.in"):
        decode_group(PACKETS, (30, 50, 3))
