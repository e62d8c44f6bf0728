"""The folder of one adapter: read without trust in what is there, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.adapters.files import parse_json, parse_tensors, read_plain_file, remove, to_json
from apo_core.adapters.manifest import (
    CONFIG_FILE,
    MANIFEST_FILE,
    MAX_BYTES,
    MAX_NUMBER,
    MODEL_FILE,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    SIGNATURE_FILE,
    AdapterVersion,
    ManifestInput,
    config_faults,
    document_faults,
    fields_of,
    folder_name,
    upgraded,
)
from apo_core.adapters.signature import SigningKey, TrustedKeys, signer_of
from apo_core.errors import AdapterError
from apo_core.system.atomic_files import move, replace_file, sync, write_file

FOLDER = re.compile(r"[0-9]{6,10}")
TEMPORARY = ".publishing-"  # prefix of names that readers ignore
_LAST_NUMBER = ".last_number"


def read_manifest(folder: int, number: int, trusted: TrustedKeys | None) -> dict[str, Any]:
    """The content of manifest.json.

    Args:
        folder: descriptor.
        number: in its name.
        trusted: must have signed it; None asks for no signature.

    Raises:
        AdapterError: a foreign file in the folder, no trusted signature, or another schema.
    """
    names = os.listdir(folder)
    extra = sorted(set(names) - set(MAX_BYTES))
    if extra:
        raise AdapterError(f"unexpected entries {extra[:5]}; an adapter holds {sorted(MAX_BYTES)}")
    data = _read(folder, MANIFEST_FILE)
    if trusted is not None:
        trusted.check(data, _read(folder, SIGNATURE_FILE) if SIGNATURE_FILE in names else None)
    document = upgraded(parse_json(data, MANIFEST_FILE))
    faults = document_faults(document, number)
    if faults:
        raise AdapterError(f"{MANIFEST_FILE}: {'; '.join(faults)}")
    return dict(document)


def read(folder: int, number: int, trusted: TrustedKeys | None) -> tuple[AdapterVersion, dict[str, np.ndarray]]:
    """Everything in the folder; arguments and errors as `read_manifest`; a wrong size or hash is an error too."""
    document = read_manifest(folder, number, trusted)
    contents = {}
    for name, entry in document["files"].items():
        data = _read(folder, name)
        if len(data) != entry["bytes"]:
            raise AdapterError(f"{name} has {len(data)} bytes, the manifest lists {entry['bytes']}")
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise AdapterError(f"{name} does not have the sha256 of the manifest")
        contents[name] = data
    config = parse_json(contents[CONFIG_FILE], CONFIG_FILE)
    faults = config_faults(config)
    if faults:
        raise AdapterError(f"{CONFIG_FILE}: {'; '.join(faults)}")
    given = {name: value for name, value in document.items() if name not in ("schema", "schema_version", "files")}
    given["episode_ids"] = tuple(given["episode_ids"])
    return AdapterVersion(**given, adapter_config=config), parse_tensors(contents[MODEL_FILE])


def signer(folder: int) -> str:
    """Fingerprint of the key that the signature names, empty without a signature. Raises AdapterError."""
    return signer_of(_read(folder, SIGNATURE_FILE)) if SIGNATURE_FILE in os.listdir(folder) else ""


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Locks a store against other writers, in this process and in others. Raises OSError."""
    descriptor = os.open(store / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_number(store: Path) -> int:
    """The next number, recorded before it is used, so that deleting an adapter never frees its number.

    Raises:
        AdapterError: the counter is damaged or at its end.
        OSError: it cannot be written.
    """
    number = max([_last_number(store), *(int(name) for name in os.listdir(store) if FOLDER.fullmatch(name))]) + 1
    if number > MAX_NUMBER:
        raise AdapterError(f"adapter number {number} is above {MAX_NUMBER}: start a new store beside {store}")
    replace_file(store / _LAST_NUMBER, f"{number}\n")
    return number


def take_folder(store: Path, number: int, folder: Path) -> None:
    """Renames a folder into place that holds an adapter from another store; its number is never given again.

    The caller holds the store's lock and has checked the folder.

    Raises:
        AdapterError: the number is in use, or the counter is damaged.
        OSError: the store cannot be written.
    """
    place = store / folder_name(number)
    if os.path.lexists(place):
        raise AdapterError(f"{place} is there already")
    if number > _last_number(store):
        replace_file(store / _LAST_NUMBER, f"{number}\n")
    move(folder, place)


def write_folder(
    store: Path, number: int, files: Mapping[str, bytes], manifest: ManifestInput, key: SigningKey | None
) -> None:
    """Fills a temporary folder and renames it into place; leftovers of killed publishers are removed first.

    The caller holds the store's lock.

    Raises:
        AdapterError: a file is larger than readers allow.
        OSError: the folder cannot be written; nothing of it is left.
    """
    for entry in store.glob(f"{TEMPORARY}*"):
        remove(entry)
    document = {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "number": number,
        **fields_of(manifest),
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    contents = {**files, MANIFEST_FILE: to_json(document)}
    if key is not None:
        contents[SIGNATURE_FILE] = key.sign(contents[MANIFEST_FILE])
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=store))
    try:
        for name, data in contents.items():
            if len(data) > MAX_BYTES[name]:
                raise AdapterError(f"{name} has {len(data)} bytes, at most {MAX_BYTES[name]} are allowed")
            write_file(temporary / name, data)
        temporary.chmod(0o755)
        sync(temporary)
        move(temporary, store / folder_name(number))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _read(folder: int, name: str) -> bytes:
    return read_plain_file(folder, name, MAX_BYTES[name])


def _last_number(store: Path) -> int:
    counter = store / _LAST_NUMBER
    if not counter.exists():
        return 0
    text = counter.read_text()[:32].strip()
    if not text.isascii() or not text.isdigit():
        raise AdapterError(f"{counter} holds {text!r}, not a number: write the highest version ever used into it")
    return int(text)
