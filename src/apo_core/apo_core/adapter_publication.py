"""Writes the folder of an adapter under a number of its own; for whoever holds the store's lock."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from apo_core.adapters import files as adapter_files
from apo_core.adapters.manifest import (
    MANIFEST_FILE,
    MAX_BYTES,
    MAX_NUMBER,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    SIGNATURE_FILE,
    ManifestInput,
    fields_of,
    folder_name,
)
from apo_core.adapters.signature import SigningKey
from apo_core.errors import AdapterError

FOLDER = re.compile(r"[0-9]{6,10}")
TEMPORARY = ".publishing-"  # begins every name that no reader looks at
_LAST_NUMBER = ".last_number"


def take_number(store: Path) -> int:
    """The next number; written down before it is used, so that deleting an adapter never frees its number.

    Raises:
        AdapterError: the counter is damaged or at its end.
        OSError: it cannot be written.
    """
    counter, last = store / _LAST_NUMBER, 0
    if counter.exists():
        text = counter.read_text()[:32].strip()
        if not text.isascii() or not text.isdigit():
            raise AdapterError(f"{counter} holds {text!r}, not a number: write the highest version ever used into it")
        last = int(text)
    number = max([last, *(int(name) for name in os.listdir(store) if FOLDER.fullmatch(name))]) + 1
    if number > MAX_NUMBER:
        raise AdapterError(f"adapter number {number} is above {MAX_NUMBER}: start a new store beside {store}")
    adapter_files.replace_file(counter, f"{number}\n".encode(), store / f"{_LAST_NUMBER}.new")
    return number


def write_folder(
    store: Path, number: int, files: Mapping[str, bytes], manifest: ManifestInput, key: SigningKey | None
) -> None:
    """Fills a temporary folder and renames it into place; what a killed publisher left is removed first.

    Raises:
        AdapterError: a file is larger than readers allow.
        OSError: the folder cannot be written; nothing of it is left.
    """
    for entry in store.glob(f"{TEMPORARY}*"):
        adapter_files.remove(entry)
    document = {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "number": number,
        **fields_of(manifest),
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    contents = {**files, MANIFEST_FILE: adapter_files.to_json(document)}
    if key is not None:
        contents[SIGNATURE_FILE] = key.sign(contents[MANIFEST_FILE])
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=store))
    try:
        for name, data in contents.items():
            if len(data) > MAX_BYTES[name]:
                raise AdapterError(f"{name} has {len(data)} bytes, at most {MAX_BYTES[name]} are allowed")
            adapter_files.write_file(temporary / name, data)
        temporary.chmod(0o755)
        adapter_files.sync_folder(temporary)
        os.rename(temporary, store / folder_name(number))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    adapter_files.sync_folder(store)
