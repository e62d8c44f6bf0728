"""A look of the background process: video first, then the store, as far as a job has them."""

import os
import time
from pathlib import Path

import pytest

from apo_episodes.reader import read_episode
from apo_episodes.remote.store import RemoteStore
from apo_recorder.background.job import Job, UploadJob, VideoJob
from apo_recorder.background.look import Look

VIDEO = VideoJob(600.0, 20, 10, 38.0, 7.0)


@pytest.fixture
def folder(write_film) -> Path:
    """An episode of an hour ago and a new one."""
    old, new = map(write_film, ("old", "new"))
    os.utime(old, (time.time() - 3600.0,) * 2)
    return new.parent


def looked(job: Job) -> list:
    seen = []
    Look(job, seen.append)()
    return seen


def test_uploads_alone(folder, tmp_path):
    seen = looked(Job(str(folder), 1.0, UploadJob(str(tmp_path / "store"), "arm1")))
    assert (seen[0].is_looking, seen[-1].is_looking) == (True, False)
    assert (seen[-1].uploaded, seen[-1].waiting, seen[-1].video) == (2, 0, 0)


def test_a_store_gets_video_and_what_is_to_become_video_waits(folder, tmp_path):
    seen = looked(Job(str(folder), 1.0, UploadJob(str(tmp_path / "store"), "arm1"), VIDEO))
    old, new = folder / "old.h5", folder / "new.h5"
    assert [read_episode(path, images=False).image_compression for path in (old, new)] == ["video", "zstd"]
    assert [name for _, name in RemoteStore(str(tmp_path / "store")).episodes()] == [old.stem]
    last = seen[-1]
    assert (last.video, last.lossless, last.uploaded, last.waiting) == (1, 1, 1, 1)
    assert last.sent_bytes == old.stat().st_size


def test_video_alone(folder):
    last = looked(Job(str(folder), 1.0, None, VIDEO))[-1]
    assert (last.is_looking, last.video, last.lossless, last.uploaded, last.waiting) == (False, 1, 1, 0, 0)
