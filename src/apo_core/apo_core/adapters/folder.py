"""Reads the open folder of one adapter, without trust in what is there."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from apo_core.adapters.files import parse_json, parse_tensors, read_plain_file
from apo_core.adapters.manifest import (
    CONFIG_FILE,
    MANIFEST_FILE,
    MAX_BYTES,
    MODEL_FILE,
    SIGNATURE_FILE,
    AdapterVersion,
    config_faults,
    document_faults,
    upgraded,
)
from apo_core.adapters.signature import TrustedKeys, signer_of
from apo_core.errors import AdapterError


def read_manifest(folder: int, number: int, trusted: TrustedKeys | None) -> dict[str, Any]:
    """The content of manifest.json.

    Args:
        folder: descriptor.
        number: that its name says.
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
    """Everything in the folder; arguments and errors as `read_manifest`, and what does not have its size or hash."""
    document = read_manifest(folder, number, trusted)
    contents = {}
    for name, entry in document["files"].items():
        data = _read(folder, name)
        if len(data) != entry["bytes"]:
            raise AdapterError(f"{name} has {len(data)} bytes, the manifest says {entry['bytes']}")
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


def _read(folder: int, name: str) -> bytes:
    return read_plain_file(folder, name, MAX_BYTES[name])
