"""Which adapter of a store the policies serve: `current.json`, a pointer with its history, replaced whole."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from apo_core.adapters.files import parse_json, read_plain_file, to_json
from apo_core.adapters.folder import TEMPORARY
from apo_core.adapters.manifest import MAX_NUMBER, policy_name
from apo_core.adapters.signature import SigningKey, TrustedKeys, unsigned
from apo_core.errors import AdapterError
from apo_core.system.atomic_files import replace_file

CURRENT_FILE = "current.json"
SCHEMA_NAME = "apo.promotion"
SCHEMA_VERSION = 1
MAX_HISTORY = 1000
_MAX_BYTES = 1 << 16
_MAX_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Promotion:
    """What the policies that follow a store serve."""

    number: int = 0  # adapter; 0 is the base policy
    sequence: int = 0  # rises by one with every change, also with one to the same adapter
    history: tuple[int, ...] = ()  # what was promoted before `number`, oldest first
    changed_utc: str = ""  # ISO 8601; empty before the first change
    reason: str = ""  # of the last change

    def promoted(self, number: int, changed_utc: str, reason: str) -> Promotion:
        """State after promoting `number`; promoting the current one raises the sequence only, so policies retry it."""
        history = self.history if number == self.number else (*self.history, self.number)[-MAX_HISTORY:]
        return Promotion(number, self.sequence + 1, history, changed_utc, reason)

    def rolled_back(self, usable: Container[int], changed_utc: str, reason: str) -> Promotion:
        """State after going back to the newest `usable` adapter of the history, else to the base policy.

        Raises:
            AdapterError: the base policy is what is served.
        """
        if self.number == 0:
            raise AdapterError("the base policy is promoted: there is nothing to roll back to")
        left = list(self.history)
        while left:
            number = left.pop()
            if number == 0 or number in usable:
                return Promotion(number, self.sequence + 1, tuple(left), changed_utc, reason)
        return Promotion(0, self.sequence + 1, (), changed_utc, reason)

    def replaces(self, other: Promotion) -> bool:
        """Whether this is a later change than `other`, which was made from the same ones before.

        Raises:
            AdapterError: both are the change of one number, and differ.
        """
        if self.sequence == other.sequence and self != other:
            raise AdapterError(
                f"change {self.sequence} to {policy_name(self.number)} ({self.changed_utc}) is not change "
                f"{other.sequence} to {policy_name(other.number)} ({other.changed_utc}), which stays; promote once "
                "more what all shall serve"
            )
        return self.sequence > other.sequence

    def as_document(self) -> dict[str, Any]:
        """Content of the pointer's file."""
        return {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, **asdict(self), "history": list(self.history)}


def from_document(document: Mapping[str, Any]) -> Promotion:
    """Checks the content of the pointer's file.

    Raises:
        AdapterError: everything wrong with it.
    """
    known = {"schema", "schema_version", *Promotion.__dataclass_fields__}
    faults = [f"{name} is missing" for name in sorted(known - set(document))]
    faults += [f"{name} is unknown" for name in sorted(set(document) - known)]
    if faults:
        raise AdapterError("; ".join(faults))
    if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
        faults.append(
            f"schema is {document['schema']!r} {document['schema_version']!r}, "
            f"this software reads '{SCHEMA_NAME}' {SCHEMA_VERSION}"
        )
    if not _is_count(document["number"], MAX_NUMBER):
        faults.append(f"number = {document['number']!r} must be 0 (base policy) or an adapter number")
    if not _is_count(document["sequence"], 2**63 - 1):
        faults.append(f"sequence = {document['sequence']!r} must be a count")
    history = document["history"]
    if (
        not isinstance(history, list)
        or len(history) > MAX_HISTORY
        or not all(_is_count(n, MAX_NUMBER) for n in history)
    ):
        faults.append(f"history must be a list of at most {MAX_HISTORY} adapter numbers")
    faults += [
        f"{name} must be a text of at most {_MAX_TEXT} characters"
        for name in ("changed_utc", "reason")
        if not isinstance(document[name], str) or len(document[name]) > _MAX_TEXT
    ]
    if faults:
        raise AdapterError("; ".join(faults))
    fields = {name: document[name] for name in Promotion.__dataclass_fields__}
    return replace(Promotion(**fields), history=tuple(history))


def parse_promotion(content: bytes, trusted: TrustedKeys | None = None) -> Promotion:
    """The promotion that the content of a pointer's file describes.

    Args:
        content: of the file.
        trusted: must have signed it; None asks for no signature.

    Raises:
        AdapterError: everything wrong with it, or it is not signed.
    """
    if len(content) > _MAX_BYTES:
        raise AdapterError(f"{CURRENT_FILE} has {len(content)} bytes, at most {_MAX_BYTES} are allowed")
    document = parse_json(content, CURRENT_FILE)
    if trusted is not None:
        trusted.check_document(document)
    return from_document(unsigned(document))


def read_pointer(store: Path) -> bytes | None:
    """The content of the pointer's file of a store, unchecked; None before the first promotion. Raises AdapterError."""
    try:
        folder = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdapterError(f"adapter store {store} cannot be read: {error}") from None
    try:
        return read_plain_file(folder, CURRENT_FILE, _MAX_BYTES) if CURRENT_FILE in os.listdir(folder) else None
    except (AdapterError, OSError) as error:
        raise _rejection(store, error) from None
    finally:
        os.close(folder)


def read_promotion(store: Path, trusted: TrustedKeys | None = None) -> Promotion:
    """The promotion in force; the base policy before the first promotion.

    Args:
        store: folder.
        trusted: must have signed it; None asks for no signature.

    Raises:
        AdapterError: the file cannot be read, is damaged, or not signed.
    """
    content = read_pointer(store)
    try:
        return Promotion() if content is None else parse_promotion(content, trusted)
    except (AdapterError, RecursionError) as error:
        raise _rejection(store, error) from None


def write_promotion(store: Path, promotion: Promotion, key: SigningKey | None = None) -> None:
    """Replaces the promotion, signed by `key`; the caller holds the store's lock. Raises OSError."""
    document = promotion.as_document()
    write_pointer(store, to_json(document if key is None else key.signed(document)))


def write_pointer(store: Path, content: bytes) -> None:
    """Replaces the content of the pointer's file; the caller holds the store's lock. Raises OSError."""
    replace_file(store / CURRENT_FILE, content, store / f"{TEMPORARY}current")


def _rejection(store: Path, error: Exception) -> AdapterError:
    return AdapterError(
        f"{store / CURRENT_FILE} is rejected: {error}; delete it and promote a version (apo adapters promote, with "
        "--key where robots ask for signatures)"
    )


def _is_count(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest
