"""Each episode file is checked once, and again when it has changed."""

import json
import os
from pathlib import Path

import pytest

from apo_episodes.inspection.validate import Validation
from apo_trainer.data.episode_checks import EpisodeChecks


class Checker:
    """A check with a fault for each file whose content asks for one; keeps the paths it was called with."""

    def __init__(self):
        self.asked: list[str] = []

    def __call__(self, path: Path) -> Validation:
        self.asked.append(path.name)
        return Validation(path, ["schema: bad"] if path.read_text() == "bad" else [])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.h5" for name in "abc"]
    for path in paths:
        path.write_text("bad" if path.stem == "b" else "good")
    return paths


def test_sound_files_are_parted_from_the_others_with_the_reason(files, tmp_path):
    sound, rejected = EpisodeChecks(None, Checker()).sort_out(files)
    assert sound == [files[0], files[2]]
    assert [(item.path, item.reason) for item in rejected] == [(files[1], "schema: bad")]


def test_a_finding_is_kept_between_programs_until_the_file_changes(files, tmp_path):
    first, again, changed = Checker(), Checker(), Checker()
    EpisodeChecks(tmp_path / "run" / "checks.jsonl", first).sort_out(files)
    _, rejected = EpisodeChecks(tmp_path / "run" / "checks.jsonl", again).sort_out(files)
    files[1].write_text("mended")
    sound, _ = EpisodeChecks(tmp_path / "run" / "checks.jsonl", changed).sort_out(files)

    assert (first.asked, again.asked, changed.asked) == (["a.h5", "b.h5", "c.h5"], [], ["b.h5"])
    assert [item.path for item in rejected] == [files[1]]
    assert sound == files


def test_a_file_of_the_same_size_that_was_written_later_is_checked_again(files, tmp_path):
    checker = Checker()
    checks = EpisodeChecks(None, checker)
    checks.faults(files[0])
    os.utime(files[0], ns=(5, 5))
    checks.faults(files[0])
    assert checker.asked == ["a.h5", "a.h5"]


def test_two_programs_do_not_lose_each_others_findings(files, tmp_path):
    record = tmp_path / "checks.jsonl"
    one, other, later = Checker(), Checker(), Checker()
    first, second = EpisodeChecks(record, one), EpisodeChecks(record, other)
    first.sort_out(files[:1])
    second.sort_out(files[1:])
    EpisodeChecks(record, later).sort_out(files)
    assert later.asked == []


def test_what_is_gone_is_forgotten(tmp_path):
    record, kept = tmp_path / "checks.jsonl", tmp_path / "kept.h5"
    gone = [tmp_path / f"{number}.h5" for number in range(200)]
    for path in (*gone, kept):
        path.write_text("good")
    EpisodeChecks(record, Checker()).sort_out([*gone, kept])
    for path in gone:
        path.unlink()
    checker = Checker()
    EpisodeChecks(record, checker).sort_out([kept])
    assert [json.loads(line)["path"] for line in record.read_text().splitlines()] == [str(kept)]
    assert checker.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"x": 1}',
        '{"path": "x", "bytes": "y"}',
        '{"path": 1, "bytes": 1, "mtime_ns": 1, "faults": 1}',
        '{"path": "x", "bytes": Infinity, "mtime_ns": 1, "faults": []}',
    ],
)
def test_a_damaged_record_costs_time_only(files, tmp_path, text):
    (tmp_path / "checks.jsonl").write_text(text)
    checker, again = Checker(), Checker()
    assert EpisodeChecks(tmp_path / "checks.jsonl", checker).sort_out(files)[0] == [files[0], files[2]]
    assert EpisodeChecks(tmp_path / "checks.jsonl", again).sort_out(files)[0] == [files[0], files[2]]
    assert (len(checker.asked), again.asked) == (3, [])


def test_a_record_that_a_kill_cut_off_loses_one_line(files, tmp_path):
    record = tmp_path / "checks.jsonl"
    EpisodeChecks(record, Checker()).sort_out(files)
    record.write_bytes(record.read_bytes()[:-9])
    checker, again = Checker(), Checker()
    EpisodeChecks(record, checker).sort_out(files)
    EpisodeChecks(record, again).sort_out(files)
    assert (checker.asked, again.asked) == (["c.h5"], [])


def test_a_missing_file_is_a_fault(tmp_path):
    assert EpisodeChecks(None, Checker()).faults(tmp_path / "none.h5") == ("cannot be read: No such file or directory",)


def test_the_caller_may_end_it(files):
    def stop(path: Path) -> None:
        if path.stem == "b":
            raise InterruptedError

    checker = Checker()
    with pytest.raises(InterruptedError):
        EpisodeChecks(None, checker).sort_out(files, stop)
    assert checker.asked == ["a.h5"]
