"""The work of the background process, in this one: a folder of episodes and a store that is a folder too."""

import shutil
from pathlib import Path

import pytest

from apo_core.remote.chunk_store import RemoteError, StoreError
from apo_core.remote.patience import Patience
from apo_episodes.remote.store import RemoteStore
from apo_recorder.background.job import UploadJob
from apo_recorder.background.progress import ProgressReport
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


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.h5"))


@pytest.fixture
def make(folder, tmp_path):
    """(list of progress) -> a look of new uploads that append to it."""

    def made(seen: list):
        uploads = Uploads(UploadJob(str(tmp_path / "store"), "arm1"), ProgressReport(seen.append), IMPATIENT)
        return lambda not_yet=(): uploads.look(finished(folder), not_yet)

    return made


def test_episodes_come_into_the_store_and_their_number_is_reported(make, folder, tmp_path):
    seen = []
    look = make(seen)
    look()
    assert (seen[0].uploaded, seen[0].waiting) == (0, 2)
    assert [each.uploaded for each in seen] == sorted(each.uploaded for each in seen)
    last = seen[-1]
    assert (last.uploaded, last.waiting, last.fault) == (2, 0, "")
    assert last.sent_bytes == sum(path.stat().st_size for path in folder.glob("*.h5"))
    assert [robot for robot, _ in RemoteStore(str(tmp_path / "store")).episodes()] == ["arm1", "arm1"]
    another = []
    make(another)()
    assert (another[-1].uploaded, another[-1].sent_bytes) == (2, 0)


def test_a_file_that_is_no_episode_is_left_out_until_it_is_gone(make, folder):
    (folder / "a.h5").write_bytes(b"no episode")
    seen = []
    look = make(seen)
    look()
    assert (seen[-1].uploaded, seen[-1].waiting, seen[-1].left_out) == (2, 0, 1)
    assert str(folder / "a.h5") in seen[-1].left_out_because
    (folder / "a.h5").unlink()
    look()
    assert (seen[-1].uploaded, seen[-1].left_out, seen[-1].left_out_because) == (2, 0, "")


def test_a_store_that_fails_is_reported_and_the_next_look_goes_on(make, folder, monkeypatch):
    seen = []
    look = make(seen)
    with monkeypatch.context() as broken:
        broken.setattr(RemoteStore, "record", lambda *_: (_ for _ in ()).throw(RemoteError("no route")))
        look()
    assert (seen[-1].fault, seen[-1].waiting) == ("no route", 2)
    look()
    assert (seen[-1].fault, seen[-1].uploaded) == ("", 2)


def test_an_access_that_is_tried_again_is_reported_at_once(folder, tmp_path, monkeypatch):
    waits, seen = [], []
    monkeypatch.setattr("time.sleep", lambda seconds: waits.append(seen[-1].fault))
    uploads = Uploads(UploadJob(str(tmp_path / "store"), "arm1"), ProgressReport(seen.append))
    answers = iter([RemoteError("no route")])
    whole = RemoteStore.record

    def record(*arguments):
        for error in answers:
            raise error
        return whole(*arguments)

    monkeypatch.setattr(RemoteStore, "record", record)
    uploads.look(finished(folder))
    assert (waits, seen[-1].fault, seen[-1].uploaded) == (["no route"], "", 2)


def test_an_episode_that_was_taken_back_is_not_counted(make, folder):
    seen = []
    look = make(seen)
    look()
    next(folder.glob("*.h5")).unlink()
    look()
    assert (seen[-1].uploaded, seen[-1].waiting, seen[-1].left_out) == (1, 0, 0)


def test_an_episode_that_is_not_to_be_brought_yet_waits(make, folder, tmp_path):
    seen = []
    look = make(seen)
    first, second = finished(folder)
    look({second})
    assert (seen[-1].uploaded, seen[-1].waiting) == (1, 1)
    assert [name for _, name in RemoteStore(str(tmp_path / "store")).episodes()] == [first.stem]
    look()
    assert (seen[-1].uploaded, seen[-1].waiting) == (2, 0)


def test_a_store_of_no_known_kind_is_an_error():
    with pytest.raises(StoreError, match="nowhere"):
        Uploads(UploadJob("nowhere://x", "arm1"), ProgressReport(lambda progress: None))
