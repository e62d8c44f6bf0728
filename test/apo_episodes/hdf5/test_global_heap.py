import struct

import h5py
import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes.hdf5.global_heap import check_global_heaps

SIGNATURE = b"GCOL\x01\0\0\0"


def item(index: int, length: int, size: int | None = None) -> bytes:
    """An object of a collection, with the length that it claims."""
    return struct.pack("<HHIQ", index, 1, 0, length) + bytes((length if size is None else size) + -length % 8)


def collection(*items: bytes, size: int | None = None) -> bytes:
    body = b"".join(items)
    return SIGNATURE + struct.pack("<Q", 16 + len(body) if size is None else size) + body


def test_a_file_of_h5py_passes(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.attrs["text"] = "of variable length" * 10
        f.create_dataset("texts", data=[f"text {n}" for n in range(500)], dtype=h5py.string_dtype())
    assert SIGNATURE in path.read_bytes()
    check_global_heaps(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no heap at all",
        collection(item(1, 5), item(2, 16)),
        b"before" + collection(item(1, 8)) + b"between" + collection(item(1, 3)),
        collection(item(1, 8), struct.pack("<HHIQ", 0, 0, 0, 32) + bytes(16)),  # free room counts its head
    ],
)
def test_sound_collections_pass(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    check_global_heaps(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SIGNATURE + b"\1\0", "at byte 0 is cut off"),
        (b"1234" + collection(size=1000), "at byte 4 claims 1000 bytes"),
        (collection(size=8), "claims 8 bytes"),
        (collection(item(1, 8), item(2, 1000, 8)), "has an object of 1000 bytes"),
        (collection(struct.pack("<HHIQ", 0, 0, 0, 0) + bytes(16)), "has an object of 0 bytes"),
        (collection(item(1, 8)) + collection(item(1, 2**60, 8)), "at byte 40 has an object"),
    ],
)
def test_damaged_collections_are_rejected(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(EpisodeFormatError, match=message):
        check_global_heaps(tmp_path / "file")
