import hashlib

import h5py
import numpy as np
import pytest

from apo_episodes.hdf5.checksums import (
    attributes_checksum,
    dataset_names,
    frames_checksum,
    plain_attributes,
    values_checksum,
)


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        yield f


def test_all_datasets_of_the_file_itself_are_named(file, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = 1
    file["top"] = 1
    file["a/b/c"] = 2
    file["a/soft"] = h5py.SoftLink("/top")
    file["a/external"] = h5py.ExternalLink("other.h5", "/x")
    assert sorted(dataset_names(file)) == ["a/b/c", "top"]


def test_a_group_that_contains_itself_is_visited_once(file):
    file["a/x"] = 1
    file["a/self"] = file["a"]
    file["a/root"] = file["/"]
    assert list(dataset_names(file)) == ["a/x"]


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunks": (3,)}, {"dtype": ">i4"}])
def test_a_checksum_does_not_depend_on_storage(file, options):
    values = np.arange(10, dtype="<i4")
    file.create_dataset("x", data=values, **options)
    assert values_checksum(file["x"]) == hashlib.sha256(values.tobytes()).hexdigest()


def test_blocks_of_rows_give_the_checksum_of_all(file):
    values = np.arange(150_000.0)  # more rows than are read at a time
    file["x"] = values
    assert values_checksum(file["x"]) == hashlib.sha256(values.tobytes()).hexdigest()


def test_the_ends_of_texts_count(file):
    kind = h5py.string_dtype("utf-8", 4)
    file.create_dataset("x", data=np.array([b"ab", b"c"], kind))
    file.create_dataset("y", data=np.array([b"a", b"bc"], kind))
    assert values_checksum(file["x"]) == hashlib.sha256(b"ab\0c\0").hexdigest()
    assert values_checksum(file["x"]) != values_checksum(file["y"])


def test_frames_count_in_their_order():
    digests = [hashlib.sha256(bytes([n])).digest() for n in range(3)]
    assert frames_checksum(digests) == hashlib.sha256(b"".join(digests)).hexdigest()
    assert frames_checksum(digests) != frames_checksum(digests[::-1])


def test_attributes_without_their_checksums(file):
    file.attrs["text"] = np.bytes_(b"abc")
    file.attrs["count"] = np.int64(3)
    plain = plain_attributes(file)
    assert plain == {"text": "abc", "count": 3}
    before = attributes_checksum(plain)
    assert attributes_checksum({"count": 3, "text": "abc", "checksums": "anything"}) == before
    assert attributes_checksum({**plain, "count": 4}) != before
