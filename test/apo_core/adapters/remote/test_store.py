import json

import pytest

from apo_core.adapters.remote.store import AdapterRecord, RemoteAdapters, parse_record
from apo_core.remote.chunk_store import Chunk, DamageError
from apo_core.remote.content import Content

# sha256 of b"abc"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
FILE = Content(3, ABC, (Chunk(ABC, 3),))
RECORD = AdapterRecord(7, dict.fromkeys(("adapter_model.safetensors", "adapter_config.json", "manifest.json"), FILE))


def test_records_and_calibrations_are_listed_by_number(remote):
    assert remote.versions() == [] and remote.record(7) is None
    for number in (7, 1, 1234567):
        remote.put_record(AdapterRecord(number, RECORD.files))
    remote.put_document("adapters/7.json", b"no record")
    remote.put_calibration(7, b"calibration")
    remote.put_calibration(0, b"of the base policy")
    remote.put_document("adapters/7.help.json", b"no calibration")
    assert remote.versions() == [1, 7, 1234567]
    versions, calibrations = remote.listed()
    assert (versions, list(calibrations)) == ([1, 7, 1234567], [0, 7]) and all(calibrations.values())
    assert remote.record(7) == RECORD
    assert (remote.calibration(7), remote.calibration(1)) == (b"calibration", None)


def test_a_ring_has_the_bytes_of_its_pointer(tmp_path):
    remote = RemoteAdapters(f"memory://{tmp_path.name}")
    assert remote.ring("fleet") is None
    remote.put_ring("fleet", b"{}")
    assert remote.ring("fleet") == b"{}" and remote.ring("canary") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 8}, "is of adapter 8"),
        ({"files": {"manifest.json": {"size": 3, "sha256": ABC, "chunks": []}}}, "files must be"),
        ({"files": {}}, "files must be"),
        ({"files": 3}, "AttributeError"),
        ({"schema": "apo.remote_episode"}, "schema is 'apo.remote_episode' 1"),
    ],
)
def test_a_damaged_record_is_rejected_by_what_is_wrong(change, message):
    data = json.dumps({**json.loads(RECORD.to_json()), **change}).encode()
    with pytest.raises(DamageError, match=message):
        parse_record(data, 7, "s3://bucket")


def test_a_record_of_more_bytes_than_readers_allow_is_rejected():
    document = json.loads(RECORD.to_json())
    document["files"]["adapter_config.json"] = {
        "size": 2 << 20,
        "sha256": ABC,
        "chunks": [{"sha256": ABC, "size": 2 << 20}],
    }
    with pytest.raises(DamageError, match=r"adapter_config\.json has 2097152 bytes, at most 1048576 are allowed"):
        parse_record(json.dumps(document).encode(), 7, "s3://bucket")
