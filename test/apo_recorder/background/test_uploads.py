"""The work of the background process, in this one: a folder of episodes and a store that is a folder too."""

import shutil
from pathlib import Path

import pytest

from apo_core.remote.chunk_store import RemoteError, StoreError
from apo_core.remote.patience import Patience
from apo_episodes.remote.store import RemoteStore
from apo_recorder.background.job import Job
from apo_recorder.background.uploads import Uploads

TAKEOVERS = Path(__file__).parents[2] / "data" / "takeovers"
IMPATIENT = Patience(0.0, lambda: 0.0, lambda seconds: None, lambda text: None)


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "episodes"
    made.mkdir()
    for path in sorted(TAKEOVERS.glob("*.h5"))[:2]:
        shutil.copy(path, made)
    return made


@pytest.fixture
def make(folder, tmp_path):
    """(list of progress) -> the uploads that append to it."""
    return lambda seen: Uploads(Job(str(folder), str(tmp_path / "store"), "arm1", 1.0), seen.append, IMPATIENT)


def test_episodes_come_into_the_store_and_their_number_is_reported(make, folder, tmp_path):
    seen = []
    uploads = make(seen)
    uploads.look()
    assert (seen[0].is_looking, seen[0].uploaded, seen[0].waiting) == (True, 0, 2)
    assert [each.uploaded for each in seen] == sorted(each.uploaded for each in seen)
    last = seen[-1]
    assert (last.is_looking, last.uploaded, last.waiting, last.fault) == (False, 2, 0, "")
    assert last.sent_bytes == sum(path.stat().st_size for path in folder.glob("*.h5"))
    assert [robot for robot, _ in RemoteStore(str(tmp_path / "store")).episodes()] == ["arm1", "arm1"]
    another = []
    make(another).look()
    assert (another[-1].uploaded, another[-1].sent_bytes) == (2, 0)


def test_a_file_that_is_no_episode_is_left_out_until_it_is_gone(make, folder):
    (folder / "a.h5").write_bytes(b"no episode")
    seen = []
    uploads = make(seen)
    uploads.look()
    assert (seen[-1].uploaded, seen[-1].waiting, seen[-1].left_out) == (2, 0, 1)
    assert str(folder / "a.h5") in seen[-1].left_out_because
    (folder / "a.h5").unlink()
    uploads.look()
    assert (seen[-1].uploaded, seen[-1].left_out, seen[-1].left_out_because) == (2, 0, "")


def test_a_store_that_fails_is_reported_and_the_next_look_goes_on(make, folder, monkeypatch):
    seen = []
    uploads = make(seen)
    with monkeypatch.context() as broken:
        broken.setattr(RemoteStore, "record", lambda *_: (_ for _ in ()).throw(RemoteError("no route")))
        uploads.look()
    assert (seen[-1].fault, seen[-1].is_looking, seen[-1].waiting) == ("no route", False, 2)
    uploads.look()
    assert (seen[-1].fault, seen[-1].uploaded) == ("", 2)


def test_an_access_that_is_tried_again_is_reported_at_once(folder, tmp_path, monkeypatch):
    waits, seen = [], []
    monkeypatch.setattr("time.sleep", lambda seconds: waits.append(seen[-1].fault))
    uploads = Uploads(Job(str(folder), str(tmp_path / "store"), "arm1", 1.0), seen.append)
    answers = iter([RemoteError("no route")])
    whole = RemoteStore.record

    def record(*arguments):
        for error in answers:
            raise error
        return whole(*arguments)

    monkeypatch.setattr(RemoteStore, "record", record)
    uploads.look()
    assert (waits, seen[-1].fault, seen[-1].uploaded) == (["no route"], "", 2)


def test_an_episode_that_was_taken_back_is_not_counted(make, folder):
    seen = []
    uploads = make(seen)
    uploads.look()
    next(folder.glob("*.h5")).unlink()
    uploads.look()
    assert (seen[-1].uploaded, seen[-1].waiting, seen[-1].left_out) == (1, 0, 0)


def test_a_store_of_no_known_kind_is_an_error(folder):
    with pytest.raises(StoreError, match="nowhere"):
        Uploads(Job(str(folder), "nowhere://x", "arm1", 1.0), lambda progress: None)
