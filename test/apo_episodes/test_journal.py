import struct
import zlib

import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes.journal import JOURNAL_VERSION, JournalReader, JournalWriter

HEAD = {"info": {"episode_id": "e1"}}
RECORDS = [({"tick": 1}, b"first"), ({"tick": 2, "text": "\u00e4"}, b""), ({"tick": 3}, bytes(1000))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "e1.journal"


def write(path, records=RECORDS):
    journal = JournalWriter(path, HEAD)
    for row, data in records:
        journal.append(row, [data])
    journal.close()


def read(path) -> list:
    journal = JournalReader(path)
    try:
        return list(journal.records())
    finally:
        journal.close()


def test_records_come_back_in_order(path):
    write(path)
    journal = JournalReader(path)
    assert journal.head == {**HEAD, "journal_version": JOURNAL_VERSION}
    assert list(journal.records()) == RECORDS
    journal.close()


def test_blobs_of_a_record_are_joined(path):
    journal = JournalWriter(path, HEAD)
    journal.append({}, [b"ab", b"", b"c"])
    journal.close()
    assert read(path) == [({}, b"abc")]


def test_arrays_become_plain_numbers(path):
    journal = JournalWriter(path, HEAD)
    journal.append({"action": np.array([0.5, np.nan], np.float32), "tick": np.int64(3)}, [])
    journal.close()
    (row, _), *_ = read(path)
    assert row["tick"] == 3 and row["action"][0] == 0.5 and np.isnan(row["action"][1])


def test_a_file_cut_off_anywhere_gives_its_whole_records(path):
    write(path)
    content = path.read_bytes()
    counts = []
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            found = read(path)
        except EpisodeFormatError:
            assert not counts  # once the head is whole it is a journal
            continue
        assert found == RECORDS[: len(found)]
        counts.append(len(found))
    assert counts == sorted(counts) and set(counts) == {0, 1, 2}


def test_nothing_after_a_damaged_record_is_read(path):
    write(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"first")] ^= 1
    path.write_bytes(content)
    assert read(path) == []


def test_an_existing_journal_is_not_overwritten(path):
    write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        JournalWriter(path, HEAD)
    assert path.read_bytes() == before


def test_a_journal_in_use_is_not_read(path):
    journal = JournalWriter(path, HEAD)
    with pytest.raises(EpisodeFormatError, match="is still being recorded"):
        JournalReader(path)
    journal.close()
    assert read(path) == []


def record(text: bytes) -> bytes:
    body = struct.pack("<I", len(text)) + text
    return struct.pack("<II", len(body), zlib.crc32(body)) + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a journal"),
        (b"apo.journal\r", "not a journal"),
        (b"apo.journal\n", "cut off before its first record ended"),
        (b"apo.journal\n" + record(b"{}"), "cut off before its first record ended"),
        (b"apo.journal\n" + record(b"[1]"), "cut off before its first record ended"),
        (b"apo.journal\n" + record(b'{"journal_version": 99}'), "version 99 is newer than 1"),
    ],
)
def test_other_files_are_rejected(path, content, message):
    path.write_bytes(content)
    with pytest.raises(EpisodeFormatError, match=message):
        JournalReader(path)


def test_a_missing_journal_is_the_same_error(path):
    with pytest.raises(EpisodeFormatError, match="cannot be read"):
        JournalReader(path)


def test_closing_twice_is_safe(path):
    journal = JournalWriter(path, HEAD)
    journal.close()
    journal.close()
