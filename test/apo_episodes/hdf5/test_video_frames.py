import zlib
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes.compaction import CompactSettings, compact_episode
from apo_episodes.frame_reader import FrameReader
from apo_episodes.hdf5.video_frames import GroupCache
from apo_episodes.reader import read_episode, read_frames, verify_checksums

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FRONT = "observation/video/front/"


@pytest.fixture
def film(write_film):
    """A compacted episode of 25 steps in groups of 8."""
    path = write_film()
    assert compact_episode(path, CompactSettings(gop=8), NOW).is_new
    return path


def test_any_order_reads_what_reading_in_order_does(film):
    whole = read_episode(film).images
    assert {name: images.shape for name, images in whole.items()} == {
        "front": (25, 96, 128, 3),
        "grey": (25, 96, 128, 1),
        "depth": (25, 4, 6, 1),
    }
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 25, 12).tolist() for _ in range(6)]
    with FrameReader([film], workers=2) as wide, FrameReader([film], workers=2, cache_bytes=0) as narrow:
        for steps in [[24], [0], list(range(24, -1, -1)), *draws]:
            expected = {name: images[steps] for name, images in whole.items()}
            samples = [(0, step) for step in steps]
            for found in (read_frames(film, steps), wide.read(samples), narrow.read(samples), wide.read(samples)):
                for name, images in expected.items():
                    np.testing.assert_array_equal(found[name], images)


@pytest.mark.parametrize("step", [-1, 25])
def test_a_step_beyond_the_end_is_rejected(film, step):
    with FrameReader([film]) as reader, pytest.raises(EpisodeFormatError, match=r"e1\.h5: .*must be 0\.\.24"):
        reader.read([(0, step)])


def test_what_a_batch_holds_is_its_own(film):
    with FrameReader([film]) as reader:
        first = reader.read([(0, 3)])["front"]
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(reader.read([(0, 3)])["front"], kept)


def test_a_damaged_packet_is_named_and_others_are_read(film):
    expected = read_frames(film, [0, 7, 16, 24])["front"]
    with h5py.File(film, "r+") as f:
        packets, end = f[FRONT + "bytes"], int(f[FRONT + "end"][11])
        packets[end - 3] ^= 4
    np.testing.assert_array_equal(read_frames(film, [0, 7, 16, 24])["front"], expected)
    for step in (8, 11, 15):
        with pytest.raises(
            EpisodeFormatError, match=r"e1\.h5: the video packet of camera 'front' at step 11 is damaged"
        ):
            read_frames(film, [step])
    assert verify_checksums(film) == [FRONT + "bytes"]


def _set(name, change):
    def damage(f):
        values = f[FRONT + name][()]
        change(values)
        f[FRONT + name][...] = values

    return damage


def _with_crc(f, data):
    """Puts bytes in the place of the packet of step 0."""
    end = int(f[FRONT + "end"][0])
    data = data[:end].ljust(end, b"\0")
    f[FRONT + "bytes"][:end] = np.frombuffer(data, np.uint8)
    f[FRONT + "crc"][0] = zlib.crc32(data)


def _packed(f):
    values = f[FRONT + "bytes"][()]
    del f[FRONT + "bytes"]
    f.create_dataset(FRONT + "bytes", data=values, compression="gzip")


HOSTILE = {
    "ends that fall": _set("end", lambda v: v.__setitem__(3, v[2])),
    "ends beyond the bytes": _set("end", lambda v: v.__setitem__(24, v[24] + 1)),
    "a negative end": _set("end", lambda v: v.__setitem__(24, -1)),
    "a group that begins later": _set("first", lambda v: v.__setitem__(0, 1)),
    "a negative group": _set("first", lambda v: v.__setitem__(slice(0, 8), -8)),
    "a group within another": _set("first", lambda v: v.__setitem__(12, 0)),
    "a group without a key frame": _set("first", lambda v: v.__setitem__(slice(4, 8), 4)),
    "another checksum": _set("crc", lambda v: v.__setitem__(0, 5)),
    "no packet": lambda f: _with_crc(f, b""),
    "text for a packet": lambda f: _with_crc(f, b"\0\0\0\1" + b"text" * 500),
    "a missing index": lambda f: f.pop(FRONT + "first"),
    "a missing camera": lambda f: f.pop("observation/video/front"),
    "bytes of another type": lambda f: (f.pop(FRONT + "bytes"), f.__setitem__(FRONT + "bytes", np.zeros(9, "i8"))),
    "bytes in another file": lambda f: (
        f.pop(FRONT + "bytes"),
        f.__setitem__(FRONT + "bytes", h5py.ExternalLink("other.h5", "x")),
    ),
    "packed bytes": _packed,
    "another codec": lambda f: f.attrs.__setitem__("video", '{"codec": "vvc"}'),
    "no codec": lambda f: f.attrs.pop("video"),
    "a codec that is no JSON": lambda f: f.attrs.__setitem__("video", "{"),
}


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_hostile_videos_are_rejected(film, attack):
    with h5py.File(film, "r+") as f:
        attack(f)
    with pytest.raises(EpisodeFormatError, match=r"e1\.h5"):
        read_episode(film)
    with FrameReader([film], cache_bytes=0) as reader, pytest.raises(EpisodeFormatError, match=r"e1\.h5"):
        reader.read([(0, step) for step in range(25)])


def test_an_unknown_codec_asks_for_an_update(film):
    with h5py.File(film, "r+") as f:
        f.attrs["video"] = '{"codec": "vvc"}'
    with pytest.raises(EpisodeFormatError, match="its video is 'vvc', this software reads 'h264': update apo"):
        read_frames(film, [0])


def test_the_cache_keeps_what_was_used_last():
    cache = GroupCache(20)
    groups = {step: np.full((1, 8), step, np.uint8) for step in range(4)}
    for step in (0, 1):
        cache.put(("a", "front", step), groups[step])
    assert cache.get(("a", "front", 0)) is groups[0]
    cache.put(("a", "front", 2), groups[2])
    assert [cache.get(("a", "front", step)) is not None for step in range(3)] == [True, False, True]
    assert cache.get(("b", "front", 0)) is None
    large = np.zeros((1, 100), np.uint8)
    cache.put(("a", "front", 3), large)
    assert [cache.get(("a", "front", step)) is not None for step in range(4)] == [False, False, False, True]
