import hashlib
import io

import pytest

from apo_core.remote.chunk_store import Chunk, ChunkStore, DamageError
from apo_core.remote.content import Content, content_faults, receive, send
from apo_core.remote.patience import Patience

# sha256 of b"abc"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
ONCE = Patience(0.0, lambda: 0.0, lambda seconds: None, lambda text: None)


@pytest.fixture
def store(tmp_path) -> ChunkStore:
    return ChunkStore(str(tmp_path))


def test_a_file_is_received_as_it_was_sent(store):
    content, sent = send(io.BytesIO(b"abcabcabcd"), store, ONCE, 3)
    assert content == Content(
        10,
        hashlib.sha256(b"abcabcabcd").hexdigest(),
        (*[Chunk(ABC, 3)] * 3, Chunk(hashlib.sha256(b"d").hexdigest(), 1)),
    )
    assert sent == 4  # the same chunk once
    assert send(io.BytesIO(b"abc"), store, ONCE, 3)[1] == 0
    file = io.BytesIO()
    receive(content, store, ONCE, file, "a file")
    assert file.getvalue() == b"abcabcabcd"


def test_chunks_that_make_another_file_are_rejected(store):
    content, _ = send(io.BytesIO(b"abcd"), store, ONCE, 3)
    with pytest.raises(DamageError, match="the chunks of a file make another file"):
        receive(Content(4, content.sha256, content.chunks[::-1]), store, ONCE, io.BytesIO(), "a file")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (Content(3, "x", (Chunk(ABC, 3),)), "a hash is not 64 hex digits"),
        (Content(4, ABC, (Chunk(ABC, 3),)), "size = 4 is not the sum of its chunks"),
        (Content(9 << 20, ABC, (Chunk(ABC, 9 << 20),)), "size = 9437184 is not the sum of its chunks"),
    ],
)
def test_a_content_that_cannot_be_is_found_out(content, fault):
    assert content_faults(content) == [fault]
    assert content_faults(Content(3, ABC, (Chunk(ABC, 3),))) == []
