"""Log-probabilities of the reference on disk: kept by reference, and never in the way of a training."""

import sqlite3
from contextlib import closing

from apo_trainer.evaluation.reference_cache import ReferenceCache

A, B = b"a" * 16, b"b" * 16


def test_values_are_there_for_the_next_run_and_the_first_stays(tmp_path):
    cache = ReferenceCache(tmp_path / "cache", "ref1")
    cache.put({A: -1.5})
    cache.put({A: -9.0, B: -0.1})
    assert (cache.get(A), cache.get(B)) == (-1.5, -0.1)
    cache.close()
    again = ReferenceCache(tmp_path / "cache", "ref1")
    assert (len(again), again.get(A), again.get(B)) == (2, -1.5, -0.1)
    again.close()


def test_another_reference_has_other_values(tmp_path):
    with closing(ReferenceCache(tmp_path, "ref1")) as one, closing(ReferenceCache(tmp_path, "ref2")) as other:
        one.put({A: -1.0})
        assert other.get(A) is None


def test_without_a_folder_values_last_as_long_as_the_object():
    cache = ReferenceCache()
    cache.put({A: -1.0})
    assert cache.get(A) == -1.0
    assert cache.get(B) is None
    assert cache.fault == ""


def test_two_runs_share_a_file(tmp_path):
    with closing(ReferenceCache(tmp_path, "ref")) as one, closing(ReferenceCache(tmp_path, "ref")) as other:
        one.put({A: -1.0})
        other.put({A: -1.0, B: -2.0})
    assert len(ReferenceCache(tmp_path, "ref")) == 2


def test_a_broken_file_is_made_anew(tmp_path):
    (tmp_path / "ref.sqlite").write_bytes(b"no database" * 100)
    cache = ReferenceCache(tmp_path, "ref")
    cache.put({A: -1.0})
    cache.close()
    assert cache.fault == ""
    assert ReferenceCache(tmp_path, "ref").get(A) == -1.0


def test_folder_that_cannot_be_made_is_reported_values_stay_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    cache = ReferenceCache(tmp_path / "file" / "cache", "ref")
    cache.put({A: -1.0})
    assert cache.get(A) == -1.0
    assert "reference log-probabilities are not kept" in cache.fault


def test_file_that_cannot_be_written_is_reported_values_stay_in_memory(tmp_path):
    cache = ReferenceCache(tmp_path, "ref")
    with closing(sqlite3.connect(tmp_path / "ref.sqlite")) as other:
        other.execute("DROP TABLE logps")
        other.commit()
    cache.put({A: -1.0})
    assert cache.get(A) == -1.0
    assert "no such table" in cache.fault


def test_only_the_newest_references_are_kept(tmp_path):
    import os

    for number in range(25):
        path = tmp_path / f"{number}.sqlite"
        path.write_bytes(b"")
        os.utime(path, (number, number))
    ReferenceCache(tmp_path, "new").close()
    assert {path.stem for path in tmp_path.glob("*.sqlite")} == {"new", *map(str, range(6, 25))}
