import os

import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS

from apo_core.adapters.files import to_json, to_safetensors
from apo_core.adapters.folder import read, read_manifest, signer, take_number, write_folder
from apo_core.adapters.manifest import CONFIG_FILE, MAX_BYTES, MAX_NUMBER, MODEL_FILE
from apo_core.errors import AdapterError

FILES = {MODEL_FILE: to_safetensors(TENSORS), CONFIG_FILE: to_json(CONFIG)}


@pytest.fixture
def opened(tmp_path):
    """(number) -> descriptor of the folder of an adapter of that number."""
    descriptors = []

    def write(number: int) -> int:
        write_folder(tmp_path, number, FILES, MANIFEST, None)
        descriptors.append(os.open(tmp_path / f"{number:06d}", os.O_RDONLY))
        return descriptors[-1]

    yield write
    for descriptor in descriptors:
        os.close(descriptor)


def test_what_is_written_is_read(opened):
    folder = opened(5)
    version, tensors = read(folder, 5, None)
    assert (version.number, version.method, version.adapter_config) == (5, MANIFEST.method, CONFIG)
    assert version.episode_ids == MANIFEST.episode_ids
    assert {name: value.tolist() for name, value in tensors.items()} == {n: v.tolist() for n, v in TENSORS.items()}
    assert signer(folder) == ""


def test_a_folder_of_another_number_is_rejected(opened):
    with pytest.raises(AdapterError, match="number = 5 does not match the folder 000006"):
        read_manifest(opened(5), 6, None)


def test_a_foreign_file_is_rejected(opened, tmp_path):
    folder = opened(5)
    (tmp_path / "000005" / "notes.txt").touch()
    with pytest.raises(AdapterError, match=r"unexpected entries \['notes.txt'\]"):
        read(folder, 5, None)


def test_what_an_interrupted_publication_left_is_removed(opened, tmp_path):
    (tmp_path / ".publishing-abc").mkdir()
    (tmp_path / ".publishing-abc" / MODEL_FILE).touch()
    opened(1)
    assert os.listdir(tmp_path) == ["000001"]


def test_a_file_larger_than_readers_allow_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(MAX_BYTES, CONFIG_FILE, 10)
    with pytest.raises(AdapterError, match=f"{CONFIG_FILE} has .* bytes, at most 10 are allowed"):
        write_folder(tmp_path, 1, FILES, MANIFEST, None)
    assert os.listdir(tmp_path) == []


def test_numbers_follow_the_counter_and_the_folders(tmp_path):
    assert take_number(tmp_path) == 1
    assert take_number(tmp_path) == 2
    (tmp_path / "000007").mkdir()
    (tmp_path / "8").mkdir()  # not the name of an adapter
    assert take_number(tmp_path) == 8
    (tmp_path / "000007").rmdir()
    assert take_number(tmp_path) == 9


def test_the_last_number_ends_the_store(tmp_path):
    (tmp_path / ".last_number").write_text(str(MAX_NUMBER))
    with pytest.raises(AdapterError, match="start a new store"):
        take_number(tmp_path)
    assert (tmp_path / ".last_number").read_text() == str(MAX_NUMBER)


@pytest.mark.parametrize("text", ["", "seven", "-1", "1.5", "²"])
def test_a_damaged_counter_is_rejected(tmp_path, text):
    (tmp_path / ".last_number").write_text(text)
    with pytest.raises(AdapterError, match="not a number"):
        take_number(tmp_path)
