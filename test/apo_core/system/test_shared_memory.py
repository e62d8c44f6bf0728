import fcntl
import os
import time

from apo_core.system.shared_memory import remove_dead_segments

DEAD, ALIVE = "fastrtps_0123456789abcdef", "fastrtps_fedcba9876543210"


def make_segment(folder, name: str, age_s: float = 60.0) -> None:
    for path in (folder / name, folder / f"{name}_el"):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_s, time.time() - age_s))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_a_segment_without_an_owner_is_removed(tmp_path):
    make_segment(tmp_path, DEAD)
    make_segment(tmp_path, ALIVE)
    with (tmp_path / f"{ALIVE}_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path) == 1
        assert names(tmp_path) == {ALIVE, f"{ALIVE}_el"}


def test_a_segment_in_the_making_stays(tmp_path):
    make_segment(tmp_path, DEAD, age_s=0.0)
    assert remove_dead_segments(tmp_path) == 0
    assert names(tmp_path) == {DEAD, f"{DEAD}_el"}


def test_ports_and_files_of_others_stay(tmp_path):
    make_segment(tmp_path, "fastrtps_port7410")
    make_segment(tmp_path, "other")
    assert remove_dead_segments(tmp_path) == 0
    assert names(tmp_path) == {"fastrtps_port7410", "fastrtps_port7410_el", "other", "other_el"}


def test_a_lock_whose_segment_is_gone_is_removed(tmp_path):
    make_segment(tmp_path, DEAD)
    (tmp_path / DEAD).unlink()
    assert remove_dead_segments(tmp_path) == 1
    assert names(tmp_path) == set()
