"""Adapters in a store.

`adapters/<NNNNNN>.json` is the record of a version: the size, hash and chunks of each file in its folder.
`adapters/<NNNNNN>.help.json` is its calibration of requests for help, to the byte; that of 000000 is the base policy's.
`rings/<ring>.json` is the `current.json` that the robots of a ring follow, to the byte. A version is recorded after its
chunks, and a ring changes after the record of the version that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from apo_core.adapters.manifest import CONFIG_FILE, MANIFEST_FILE, MAX_BYTES, MODEL_FILE, SIGNATURE_FILE, folder_name
from apo_core.remote.chunk_store import ChunkStore, DamageError
from apo_core.remote.content import Content, content_faults, parse_content

CANARY, FLEET = "canary", "fleet"
RINGS = (CANARY, FLEET)  # in the order in which a promotion reaches them
SCHEMA_NAME, SCHEMA_VERSION = "apo.remote_adapter", 1
_ADAPTERS = "adapters"
_DOCUMENT = re.compile(r"([0-9]{6,10})(\.help)?\.json")
_MAX_RECORD_BYTES = 1 << 20
_NEEDED = {MODEL_FILE, CONFIG_FILE, MANIFEST_FILE}


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """A version in the store."""

    number: int
    files: Mapping[str, Content]  # by the names in its folder

    @property
    def signature_sha256(self) -> str:
        """Hash of signature.json; empty where it is not signed."""
        return self.files[SIGNATURE_FILE].sha256 if SIGNATURE_FILE in self.files else ""

    def to_json(self) -> bytes:
        """Content of the record's file; equal records give equal bytes."""
        files = {name: asdict(content) for name, content in self.files.items()}
        document = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, "number": self.number, "files": files}
        return (json.dumps(document, sort_keys=True) + "\n").encode()


class RemoteAdapters(ChunkStore):
    """The adapters at a URL; arguments and errors as of `ChunkStore`."""

    def versions(self) -> list[int]:
        """Numbers of the versions, ascending. Raises RemoteError."""
        return self.listed()[0]

    def listed(self) -> tuple[list[int], dict[int, str]]:
        """Numbers of the versions and of the calibrations, ascending, from one listing.

        Returns:
            The versions; and the calibrations, each with a text that changes with it, empty if unknown.

        Raises:
            RemoteError: the store cannot be listed.
        """
        versions, calibrations = list[int](), dict[int, str]()
        for path, state in self.listing(_ADAPTERS).items():
            match = _DOCUMENT.fullmatch(path)
            number = int(match[1]) if match else -1
            if match and path == _calibration_name(number):
                calibrations[number] = state
            elif match and path == _record_name(number):
                versions.append(number)
        return sorted(versions), dict(sorted(calibrations.items()))

    def record(self, number: int) -> AdapterRecord | None:
        """The record of a version; None where it has none. Raises RemoteError."""
        data = self.document(f"{_ADAPTERS}/{_record_name(number)}")
        return None if data is None else parse_record(data, number, self.url)

    def put_record(self, record: AdapterRecord) -> None:
        """Writes or replaces the record of a version. Raises RemoteError."""
        self.put_document(f"{_ADAPTERS}/{_record_name(record.number)}", record.to_json())

    def calibration(self, number: int) -> bytes | None:
        """The calibration of a policy, unchecked; None where it has none. Raises RemoteError."""
        return self.document(f"{_ADAPTERS}/{_calibration_name(number)}")

    def put_calibration(self, number: int, content: bytes) -> None:
        """Replaces the calibration of a policy. Raises RemoteError."""
        self.put_document(f"{_ADAPTERS}/{_calibration_name(number)}", content)

    def ring(self, name: str) -> bytes | None:
        """The pointer of a ring, unchecked; None before its first promotion. Raises RemoteError."""
        return self.document(f"rings/{name}.json")

    def put_ring(self, name: str, pointer: bytes) -> None:
        """Replaces the pointer of a ring. Raises RemoteError."""
        self.put_document(f"rings/{name}.json", pointer)


def _record_name(number: int) -> str:
    return f"{folder_name(number)}.json"


def _calibration_name(number: int) -> str:
    return f"{folder_name(number)}.help.json"


def parse_record(data: bytes, number: int, source: str) -> AdapterRecord:
    """Checks the content of a record's file. Raises DamageError with everything that is wrong."""
    faults = [] if len(data) <= _MAX_RECORD_BYTES else [f"has {len(data)} bytes"]
    try:
        document = json.loads(data)
        files = {str(name): parse_content(part) for name, part in document["files"].items()}
        if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
            faults.append(f"schema is {document['schema']!r} {document['schema_version']!r}")
        if document["number"] != number:
            faults.append(f"is of adapter {document['number']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(f"{source}: record of adapter {number}: {type(error).__name__}: {error}") from None
    if not _NEEDED <= set(files) <= set(MAX_BYTES):
        faults.append(f"files must be {sorted(_NEEDED)}, and {SIGNATURE_FILE} where it is signed")
    for name, content in files.items():
        faults += [f"{name}: {fault}" for fault in content_faults(content)]
        if content.size > MAX_BYTES.get(name, content.size):
            faults.append(f"{name} has {content.size} bytes, at most {MAX_BYTES[name]} are allowed")
    if faults:
        raise DamageError(f"{source}: record of adapter {number}: {'; '.join(faults)}")
    return AdapterRecord(number, files)
