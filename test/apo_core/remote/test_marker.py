"""A store in a folder is known again; a share that is not mounted is none."""

import pytest

from apo_core.remote.chunk_store import ChunkStore, RemoteError
from apo_core.remote.journal import Journal
from apo_core.remote.marker import recognise


@pytest.fixture
def root(tmp_path):
    return tmp_path / "share" / "lift"


@pytest.fixture
def journal(tmp_path):
    """() -> the journal of a robot, as a new process reads it."""
    (tmp_path / "robot").mkdir()
    return lambda robot="robot": Journal(tmp_path / robot / ".upload", "the store")


def test_the_first_push_makes_the_store_and_later_ones_know_it(root, journal):
    recognise(ChunkStore(str(root)), journal(), writes=True)
    marker = (root / "store.json").read_bytes()
    for writes in (True, False):
        recognise(ChunkStore(str(root)), journal(), writes)
    assert (root / "store.json").read_bytes() == marker
    assert journal().store_id in marker.decode() and len(journal().store_id) == 16
    assert [path.name for path in root.iterdir()] == ["store.json"]


def test_a_share_that_is_not_mounted_is_not_written_to(root, journal):
    recognise(ChunkStore(str(root)), journal(), writes=True)
    share, away = root.parent, root.parent.with_name("away")
    share.rename(away)
    share.mkdir()
    for writes in (True, False):
        with pytest.raises(RemoteError, match=r"there is no store.json, but .*\.jsonl lists .*: is its share mounted"):
            recognise(ChunkStore(str(root)), journal(), writes)
    assert list(share.iterdir()) == []
    share.rmdir()
    away.rename(share)
    recognise(ChunkStore(str(root)), journal(), writes=True)


def test_a_share_that_goes_away_under_a_push_is_not_written_to(root, journal):
    store = ChunkStore(str(root))
    recognise(store, journal(), writes=True)
    store.put_chunk(b"abc")
    root.rename(root.with_name("away"))
    with pytest.raises(RemoteError, match=r"cannot write .*: store\.json is gone: is the share mounted"):
        store.put_chunk(b"abcd")
    with pytest.raises(RemoteError, match=r"store\.json is gone"):
        store.put_document("rings/fleet.json", b"{}")
    assert list(root.parent.iterdir()) == [root.with_name("away")]


def test_another_store_in_its_place_is_rejected_until_the_journal_goes(root, journal, tmp_path):
    recognise(ChunkStore(str(root)), journal(), writes=True)
    root.rename(root.with_name("away"))
    (tmp_path / "other").mkdir()
    recognise(ChunkStore(str(root)), journal("other"), writes=True)
    with pytest.raises(RemoteError, match=r"is store \w{16}, but .*\.jsonl is of store \w{16}: is the right"):
        recognise(ChunkStore(str(root)), journal(), writes=True)
    journal().path.unlink()
    recognise(ChunkStore(str(root)), journal(), writes=True)
    assert journal().store_id == journal("other").store_id


def test_a_store_from_before_there_were_markers_gets_one(root, journal):
    ChunkStore(str(root)).put_chunk(b"abc")
    journal().add("e1.h5", [1])
    recognise(ChunkStore(str(root)), journal(), writes=False)
    assert not (root / "store.json").exists()
    recognise(ChunkStore(str(root)), journal(), writes=True)
    assert journal().store_id in (root / "store.json").read_text()


def test_a_journal_from_before_there_were_markers_knows_an_empty_folder(root, journal):
    journal().add("e1.h5", [1])
    with pytest.raises(RemoteError, match=r"there is no store.json, but .* lists what this store has"):
        recognise(ChunkStore(str(root)), journal(), writes=True)
    assert not root.exists()


def test_whoever_comes_first_names_the_store(root, journal):
    store = ChunkStore(str(root))
    recognise(store, journal(), writes=True)
    store.put_new_document("store.json", b'{"id": "other"}')
    assert journal().store_id in (root / "store.json").read_text()


def test_a_damaged_marker_is_named(root, journal):
    root.mkdir(parents=True)
    (root / "store.json").write_text("{")
    with pytest.raises(RemoteError, match=r"store\.json is damaged: JSONDecodeError"):
        recognise(ChunkStore(str(root)), journal(), writes=True)


def test_a_store_that_is_no_folder_is_not_asked(journal, tmp_path):
    store = ChunkStore(f"memory://{tmp_path.name}")
    recognise(store, journal(), writes=True)
    assert store.documents("") == [] and journal().is_empty
