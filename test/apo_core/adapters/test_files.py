import os

import numpy as np
import pytest

from apo_core.adapters.files import parse_json, parse_tensors, read_plain_file, remove, to_json, to_safetensors
from apo_core.errors import AdapterError


@pytest.fixture
def folder(tmp_path):
    """Descriptor of a folder with the file `file`."""
    (tmp_path / "file").write_bytes(b"content")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_the_same_content_gives_the_same_bytes():
    assert to_json({"b": 1, "a": [1.5, None]}) == to_json({"a": [1.5, None], "b": 1})
    assert parse_json(to_json({"a": [1.5, None]}), "x") == {"a": [1.5, None]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", "x must hold a JSON object, not list"),
        (b'{"a": NaN}', "NaN is not allowed"),
        (b'{"a": -Infinity}', "-Infinity is not allowed"),
        (b"{", "x is not valid JSON"),
        (b"\xff", "x is not valid JSON"),
    ],
)
def test_what_is_not_an_object_of_finite_numbers_is_rejected(data, message):
    with pytest.raises(AdapterError, match=message):
        parse_json(data, "x")


def test_tensors_come_back_as_written():
    strided = np.arange(12, dtype=np.float32).reshape(3, 4).T
    read = parse_tensors(to_safetensors({"a": strided, "b": np.array([0.5], np.float16)}))
    np.testing.assert_array_equal(read["a"], strided)
    assert read["a"].dtype == np.float32 and read["b"].dtype == np.float16


@pytest.mark.parametrize("data", [b"", b"\x01", (100).to_bytes(8, "little") + b"{}", (2**40).to_bytes(8, "little")])
def test_a_header_beyond_the_file_is_rejected(data):
    with pytest.raises(AdapterError, match="claims a header"):
        parse_tensors(data)


def test_a_plain_file_is_read_up_to_its_limit(folder):
    assert read_plain_file(folder, "file", 7) == b"content"
    with pytest.raises(AdapterError, match="file has 7 bytes, at most 6 are allowed"):
        read_plain_file(folder, "file", 6)
    with pytest.raises(AdapterError, match="other is missing"):
        read_plain_file(folder, "other", 7)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("file"),
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
    ],
    ids=["link", "folder", "pipe", "device"],
)
def test_what_is_not_a_plain_file_is_rejected(folder, tmp_path, make):
    make(tmp_path / "other")
    with pytest.raises(AdapterError, match="other is not a plain file"):
        read_plain_file(folder, "other", 100)


def test_removing_a_link_keeps_what_it_points_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for name in ("link", "full"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]
