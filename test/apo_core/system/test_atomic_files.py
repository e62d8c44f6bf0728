import os

import pytest

from apo_core.system.atomic_files import exchange, move, replace_file, replacing, sync, write_file


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    return tmp_path / "file"


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("data", "content"), [(b"\x00new", b"\x00new"), ("neu: \u00e4", "neu: \u00e4".encode()), (b"", b"")]
)
def test_the_content_is_replaced_and_nothing_else_stays(path, data, content):
    replace_file(path, data)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["file"]


def test_a_file_that_does_not_exist_yet_is_made(tmp_path):
    replace_file(tmp_path / "file", b"new", tmp_path / "other name")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_the_old_content_is_there_until_the_block_ends(path):
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(path, error):
    with pytest.raises(error), replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fails_changes_nothing(path, monkeypatch, function):
    monkeypatch.setattr(os, function, no_space)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_content_is_on_the_disk_before_the_name_and_the_name_after(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        calls.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))}")
        fsync(descriptor)

    def replaced(source, target):
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    replace_file(path, b"new")
    assert calls == ["sync file.new", "replace", f"sync {path.parent.name}"]


def test_a_written_file_is_synced(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    write_file(tmp_path / "file", b"12345")
    assert sizes == [5]


def test_a_folder_is_moved_and_its_new_place_synced(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_bytes(b"content")
    (tmp_path / "place").mkdir()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    move(tmp_path / "made", tmp_path / "place" / "final")
    assert (tmp_path / "place" / "final" / "file").read_bytes() == b"content"
    assert not (tmp_path / "made").exists()
    assert synced == [str((tmp_path / "place").resolve())]


def test_syncing_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "missing")


def test_two_files_exchange_their_names(path):
    other = path.parent / "other"
    other.write_bytes(b"new")
    exchange(path, other)
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize("gone", ["file", "other"])
def test_without_one_of_two_files_nothing_is_exchanged(path, gone):
    (path.parent / "other").write_bytes(b"new")
    (path.parent / gone).unlink()
    with pytest.raises(FileNotFoundError, match=r"file' -> '.*other"):
        exchange(path, path.parent / "other")
    assert os.listdir(path.parent) == [{"file": "other", "other": "file"}[gone]]
