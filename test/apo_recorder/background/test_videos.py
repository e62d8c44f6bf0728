"""Video of the episodes of a folder, in this process; the rules of one file are those of `apo_episodes.compaction`."""

import errno
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes import compaction
from apo_episodes.reader import read_episode, verify_checksums
from apo_recorder.background.job import VideoJob
from apo_recorder.background.progress import ProgressReport
from apo_recorder.background.videos import Videos

WRITTEN = datetime(2026, 3, 1, tzinfo=UTC)
DUE = WRITTEN + timedelta(seconds=600)
HOUR_S = 3600.0


@pytest.fixture
def folder(write_film) -> Path:
    """Two lossless episodes, written at the same time."""
    for path in map(write_film, ("e1", "e2")):
        os.utime(path, (WRITTEN.timestamp(),) * 2)
    return path.parent


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.h5"))


def codecs(folder: Path) -> list[str]:
    return [read_episode(path, images=False).image_compression for path in finished(folder)]


def videos(seen: list, delay_s=600.0, floor_db=38.0, originals_days=7.0) -> Videos:
    return Videos(VideoJob(delay_s, 20, 10, floor_db, originals_days), ProgressReport(seen.append))


def test_episodes_become_video_once_they_are_due(folder):
    seen, before = [], sum(path.stat().st_size for path in finished(folder))
    made = videos(seen)
    assert made.look(finished(folder), DUE - timedelta(seconds=1), 0.0) == set(finished(folder))
    assert codecs(folder) == ["zstd", "zstd"]
    assert (seen[-1].video, seen[-1].lossless) == (0, 2)
    assert made.look(finished(folder), DUE, 1.0) == set()
    assert codecs(folder) == ["video", "video"]
    assert [verify_checksums(path) for path in finished(folder)] == [[], []]
    last = seen[-1]
    assert (last.video, last.lossless, last.kept, last.video_fault) == (2, 0, 0, "")
    assert last.saved_bytes == before - sum(path.stat().st_size for path in finished(folder)) > 0


def test_a_file_of_the_future_is_of_a_wrong_clock_and_due(folder):
    assert videos([]).look(finished(folder), WRITTEN - timedelta(days=1), 0.0) == set()
    assert codecs(folder) == ["video", "video"]


def test_what_was_looked_at_is_not_read_again(folder, monkeypatch):
    made = videos([])
    made.look(finished(folder), DUE, 0.0)
    monkeypatch.setattr(compaction, "open_episode", lambda *_: pytest.fail("it is read again"))
    assert made.look(finished(folder), DUE, 1.0) == set()


def test_another_process_counts_what_is_video_already(folder):
    videos([]).look(finished(folder), DUE, 0.0)
    seen = []
    videos(seen).look(finished(folder), DUE, 0.0)
    assert (seen[-1].video, seen[-1].lossless, seen[-1].kept, seen[-1].saved_bytes) == (2, 0, 0, 0)


def test_an_episode_that_would_lose_too_much_stays_and_is_named(folder):
    seen = []
    assert videos(seen, floor_db=99.0).look(finished(folder), DUE, 0.0) == set()
    assert codecs(folder) == ["zstd", "zstd"]
    assert (seen[-1].video, seen[-1].lossless, seen[-1].kept) == (0, 0, 2)
    assert seen[-1].kept_because.startswith(f"{finished(folder)[0]}: camera 'front' would have ")


def test_a_full_disk_is_reported_and_tried_again_later(folder, monkeypatch):
    tries, whole = [], compaction.sync

    def full(path: Path) -> None:
        if path.parent.name == ".compacting":
            tries.append(path.name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(path)

    monkeypatch.setattr(compaction, "sync", full)
    seen = []
    made = videos(seen)
    assert made.look(finished(folder), DUE, 0.0) == set()  # no reason for uploads to wait
    assert codecs(folder) == ["zstd", "zstd"] and len(tries) == 2
    assert (seen[-1].video, seen[-1].lossless) == (0, 2)
    assert seen[-1].video_fault == f"{finished(folder)[0]}: [Errno 28] No space left on device"
    made.look(finished(folder), DUE, 599.0)
    assert len(tries) == 2 and seen[-1].video_fault
    monkeypatch.setattr(compaction, "sync", whole)
    made.look(finished(folder), DUE, 600.0)
    assert codecs(folder) == ["video", "video"] and seen[-1].video_fault == ""


def test_a_file_that_is_no_episode_is_named_and_the_others_go_on(folder):
    (folder / "a.h5").write_bytes(b"no episode")
    os.utime(folder / "a.h5", (WRITTEN.timestamp(),) * 2)
    seen = []
    assert videos(seen).look(finished(folder), DUE, 0.0) == set()
    assert (seen[-1].video, seen[-1].kept) == (2, 1)
    assert seen[-1].kept_because.startswith(str(folder / "a.h5"))


def test_lossless_files_go_after_their_days(folder):
    made, originals = videos([]), folder / "originals"
    made.look(finished(folder), DUE, 0.0)
    assert len(list(originals.iterdir())) == 2
    late = DUE + timedelta(days=7)
    made.look(finished(folder), late, HOUR_S - 1)  # looked for once an hour
    assert len(list(originals.iterdir())) == 2
    made.look(finished(folder), late, HOUR_S)
    assert list(originals.iterdir()) == []


def test_lossless_files_stay_for_ever_where_that_is_asked_for(folder):
    made = videos([], originals_days=-1.0)
    made.look(finished(folder), DUE, 0.0)
    made.look(finished(folder), DUE + timedelta(days=10_000), 2 * HOUR_S)
    assert len(list((folder / "originals").iterdir())) == 2


def test_without_its_package_there_is_no_video(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EpisodeFormatError, match=r"requirements/video\.in"):
        videos([])
