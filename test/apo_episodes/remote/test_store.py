import json

import pytest

from apo_core.remote.chunk_store import Chunk, RemoteError
from apo_episodes.remote.store import Record, RemoteStore, parse_record

# sha256 of b"abc"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
RECORD = Record("arm1", "e1", "e1.h5", 3, ABC, (Chunk(ABC, 3),), "")


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path) -> RemoteStore:
    url = f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}"
    return RemoteStore(url)


def test_records_are_listed_by_robot_and_episode(store):
    assert list(store.episodes()) == [] and store.record("arm1", "e1") is None
    store.put_record(RECORD)
    store.put_record(Record("arm0", "e2", "e2.h5", 3, ABC, (Chunk(ABC, 3),), "{}"))
    assert list(store.episodes()) == [("arm0", "e2"), ("arm1", "e1")]
    assert store.record("arm1", "e1") == RECORD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"robot": "arm2"}, "is of arm2/e1"),
        ({"file": "../e1.h5"}, r"file = '../e1.h5' is no plain name"),
        ({"sha256": "x"}, "a hash is not 64 hex digits"),
        ({"size": 4}, "size = 4 is not the sum"),
        ({"chunks": [{"sha256": ABC}]}, "KeyError: 'size'"),
        ({"schema_version": 2}, "schema is 'apo.remote_episode' 2"),
    ],
)
def test_a_damaged_record_is_rejected_by_what_is_wrong(change, message):
    data = json.dumps({**json.loads(RECORD.to_json()), **change}).encode()
    with pytest.raises(RemoteError, match=message):
        parse_record(data, "arm1", "e1", "s3://bucket")
