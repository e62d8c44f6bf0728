"""A disk of its own: full, and free again; what was written stays."""

import errno

import pytest

from apo_bringup.chaos.machine.disk import Disk, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"a disk of its own needs {missing()}")


def test_a_full_disk_is_full_until_it_is_undone(tmp_path):
    folder = tmp_path / "episodes"
    disk = Disk(tmp_path / "image", folder)
    disk.mount()
    try:
        (folder / "before").write_bytes(b"x" * 10_000)
        disk.fill()
        with pytest.raises(OSError) as caught, (folder / "more").open("wb") as file:
            file.write(b"x" * 1_000_000)
        assert caught.value.errno == errno.ENOSPC
        disk.undo()
        (folder / "more").write_bytes(b"x" * 1_000_000)
    finally:
        disk.unmount()
    assert (folder / "before").stat().st_size == 10_000
    assert (folder / "more").stat().st_size == 1_000_000
    assert not (tmp_path / "image").exists()


def test_a_slow_disk_still_takes_what_is_written(tmp_path):
    folder = tmp_path / "episodes"
    disk = Disk(tmp_path / "image", folder)
    disk.mount()
    try:
        disk.slow()
        for number in range(3):
            (folder / str(number)).write_bytes(b"x")
        disk.undo()
    finally:
        disk.unmount()
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "2"]
