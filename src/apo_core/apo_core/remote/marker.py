"""`store.json`, by which a store in a folder is known again.

A share that is not mounted leaves an empty folder, which looks like a new store: what is pushed there fills the disk
and never reaches the share. So the first push to a folder gives it an id, and later pushes and pulls ask for that.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress

from apo_core.remote.chunk_store import ChunkStore, RemoteError
from apo_core.remote.journal import Journal

MARKER = "store.json"
SCHEMA_NAME, SCHEMA_VERSION = "apo.store", 1


def recognise(store: ChunkStore, journal: Journal, writes: bool) -> None:
    """Checks that a store in a folder is the one that a journal knows. One elsewhere is not asked.

    Args:
        store: at any URL.
        journal: of what came from it or went to it; keeps its id.
        writes: whether to make the marker of a store that has none; from then on, writes fail where it is gone.

    Raises:
        RemoteError: the store is gone or is another one, which a mount may mend; or it cannot be reached.
    """
    if not store.is_folder:
        return
    found, known = _id(store), journal.store_id
    if found == "" and (known or not (journal.is_empty or store.has_chunks())):
        raise RemoteError(
            f"{store.url}: there is no {MARKER}, but {journal.path} lists what this store has: is its share mounted? "
            "If it was emptied or moved on purpose, delete that list"
        )
    if found != "" and known not in ("", found):
        raise RemoteError(
            f"{store.url}: is store {found}, but {journal.path} is of store {known}: is the right share mounted? If "
            "the store was replaced on purpose, delete that list"
        )
    if writes:
        if found == "":
            document = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, "id": secrets.token_hex(8)}
            store.put_new_document(MARKER, (json.dumps(document) + "\n").encode())
            found = _id(store)
        store.require(MARKER)
    if found != known:
        with suppress(OSError):  # a full disk: it is learned next time
            journal.add_store(found)


def _id(store: ChunkStore) -> str:
    """Of a store; empty where it has none. Raises RemoteError."""
    data = store.document(MARKER)
    if data is None:
        return ""
    try:
        return str(json.loads(data)["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(f"{store.url}: {MARKER} is damaged: {type(error).__name__}: {error}") from None
