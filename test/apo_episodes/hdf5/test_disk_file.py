import os

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_episodes.hdf5.disk_file import DiskFile, new_hdf5


@pytest.fixture
def full_disk(monkeypatch):
    """Lets the disk take this many bytes; what goes beyond is rejected."""
    write = os.pwrite
    room = [0]

    def pwrite(descriptor, data, offset):
        if offset + len(data) > room[0]:
            raise OSError(28, "No space left on device")
        return write(descriptor, data, offset)

    def fill(size: int) -> None:
        room[0] = size
        monkeypatch.setattr(os, "pwrite", pwrite)

    return fill


def test_hdf5_file_is_complete(tmp_path):
    disk = DiskFile(tmp_path / "a.h5")
    with h5py.File(disk, "w") as f:
        f["x"] = np.arange(1000)
    disk.sync()
    disk.close()
    with h5py.File(tmp_path / "a.h5", "r") as f:
        np.testing.assert_array_equal(f["x"][()], np.arange(1000))


@pytest.mark.parametrize("room", [0, 100, 2000, 20_000])
def test_hdf5_closes_a_file_that_cannot_be_written(tmp_path, full_disk, room):
    full_disk(room)
    disk = DiskFile(tmp_path / "a.h5")
    with h5py.File(disk, "w", libver="latest") as f:
        dataset = f.create_dataset("x", (0, 100), "f8", maxshape=(None, 100), chunks=(10, 100), compression="gzip")
        rng = np.random.default_rng(0)
        for row in range(100):
            dataset.resize(row + 1, axis=0)
            dataset[row] = rng.random(100)
            f.flush()
        assert dataset.shape == (100, 100) and np.all(dataset[()] < 1)
    with pytest.raises(OSError, match="No space left on device"):
        disk.check()
    with pytest.raises(OSError, match="No space left on device"):
        disk.sync()
    disk.close()
    assert os.path.getsize(tmp_path / "a.h5") <= room


def test_a_new_hdf5_file_is_complete_or_an_error(tmp_path, full_disk):
    with new_hdf5(tmp_path / "a.h5") as (f, check):
        f["x"] = np.arange(1000)
        check()
    with h5py.File(tmp_path / "a.h5", "r") as f:
        np.testing.assert_array_equal(f["x"][()], np.arange(1000))
    full_disk(2000)
    with pytest.raises(OSError, match="No space left on device"), new_hdf5(tmp_path / "b.h5") as (f, check):
        f["x"] = np.arange(1000)


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=20)), max_size=20), st.integers(0, 60))
def test_reads_give_what_was_written_whether_it_reached_the_disk_or_not(tmp_path_factory, writes, room):
    path = tmp_path_factory.mktemp("safe") / "a"
    expected = bytearray()
    with pytest.MonkeyPatch.context() as patch:
        write = os.pwrite

        def pwrite(descriptor, data, offset):
            if offset + len(data) > room:
                raise OSError(28, "No space left on device")
            return write(descriptor, data, offset)

        patch.setattr(os, "pwrite", pwrite)
        with DiskFile(path) as disk:
            for offset, data in writes:
                disk.seek(offset)
                assert disk.write(data) == len(data)
                if offset + len(data) > len(expected):
                    expected.extend(bytes(offset + len(data) - len(expected)))
                expected[offset : offset + len(data)] = data
            assert disk.seek(0, os.SEEK_END) == len(expected)
            disk.seek(0)
            assert disk.read() == bytes(expected)
