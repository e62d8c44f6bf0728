import pytest

from apo_core.remote.chunk_store import Chunk, ChunkStore, RemoteError, StoreError, check_name

# sha256 of b"abc"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path) -> ChunkStore:
    url = f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}"
    return ChunkStore(url)


def test_a_chunk_is_named_by_its_content(store):
    chunk = store.put_chunk(b"abc")
    assert chunk == Chunk(ABC, 3) and store.has_chunk(chunk)
    assert store.chunk(chunk) == b"abc"
    store.put_chunk(b"abc")
    assert not store.has_chunk(Chunk(ABC, 4)) and not store.has_chunk(Chunk("0" * 64, 3))


def test_a_damaged_chunk_is_rejected(tmp_path):
    store = ChunkStore(str(tmp_path))
    chunk = store.put_chunk(b"abc")
    (tmp_path / "chunks" / "ba" / ABC).write_bytes(b"abd")
    with pytest.raises(RemoteError, match=f"chunk {ABC} has 3 bytes of another content"):
        store.chunk(chunk)
    with pytest.raises(RemoteError, match="cannot read"):
        store.chunk(Chunk("0" * 64, 3))


def test_documents_are_replaced_whole_and_listed_by_folder(store):
    assert store.documents("rings") == [] and store.document("rings/fleet.json") is None
    store.put_document("rings/fleet.json", b"1")
    store.put_document("rings/fleet.json", b"2")
    store.put_document("rings/old/fleet.json", b"3")
    store.put_document("other/a.json", b"4")
    assert store.document("rings/fleet.json") == b"2"
    assert store.documents("rings") == ["fleet.json", "old/fleet.json"]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x" * 129])
def test_names_that_are_no_part_of_a_path_are_rejected(name):
    with pytest.raises(StoreError, match=r"robot = .* must have 1 to 128 letters"):
        check_name("robot", name)


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(StoreError, match="nosuch://a: Protocol not known"):
        ChunkStore("nosuch://a")
