"""A local adapter store -> a store at a URL; kill it at any time, it goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from apo_core.adapters.calibration import PolicyIdentity, calibrated, parse_calibration, replaces
from apo_core.adapters.calibration_file import check_content, read_content
from apo_core.adapters.manifest import MANIFEST_FILE, SIGNATURE_FILE, folder_name, policy_name
from apo_core.adapters.promotion import CURRENT_FILE, parse_promotion, read_pointer
from apo_core.adapters.remote.rings import move_ring
from apo_core.adapters.remote.store import RINGS, AdapterRecord, RemoteAdapters
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.remote.chunk_store import CHUNK_BYTES, DamageError
from apo_core.remote.content import Content, send
from apo_core.remote.journal import Journal
from apo_core.remote.marker import recognise
from apo_core.remote.patience import Patience

_JOURNALS = ".upload"  # in the local store

Report = Callable[[str, int], None]  # takes what is new in words, and the bytes that were sent for it
Rejected = Callable[[str, Exception], None]  # takes what is left out, and why


class Push:
    """Brings what a local store has to a URL, look by look; what it has brought it does not look up again.

    Args:
        local: where from.
        store: where to.
        ring: the last that gets the promotion: `canary` gets it alone, `fleet` after the canary.
        patience: how long an access to the store is tried again.
    """

    def __init__(self, local: AdapterStore, store: RemoteAdapters, ring: str, patience: Patience):
        self._local, self._store, self._patience = local, store, patience
        self._journal = Journal(local.path / _JOURNALS, store.url)
        self._rings = RINGS[: RINGS.index(ring) + 1]
        self._there: dict[int, tuple[str, str]] = {}  # version -> hashes of manifest and signature
        self._calibrations: dict[int, bytes] = {}  # that were compared with those of the store
        self._pointer = b""

    def look(self, report: Report, rejected: Rejected) -> None:
        """Brings the versions that are new, their calibrations, then the promotion. What fails stops no other.

        Args:
            report: takes each version, calibration and ring that changed.
            rejected: takes what is left out: a damaged version, one whose number is another adapter in the store, a
                calibration that is damaged or of another policy, a promotion that is older than the ring's or whose
                adapter the store lacks.

        Raises:
            AdapterError: the local store cannot be listed.
            RemoteError: the store fails for longer than the patience, or is in a folder and is not the one before.
        """
        if not self._local.path.is_dir():  # nothing was published yet
            return
        self._patience.call(partial(recognise, self._store, self._journal, writes=True))
        known: set[int] | None = None
        for version in self._local.versions():
            try:
                state = self._state(version)
                if self._there.get(version) == state:
                    continue
                if known is None:
                    known = set(self._patience.call(self._store.versions))
                self._bring(version, state, version in known, report)
            except (AdapterError, DamageError, OSError) as error:
                rejected(f"adapter {version}", error)
        self._bring_calibrations(report, rejected)
        try:
            self._bring_pointer(report)
        except (AdapterError, DamageError) as error:
            rejected("the promotion", error)

    def _state(self, version: int) -> tuple[str, str]:
        folder = self._local.path / folder_name(version)
        signature = folder / SIGNATURE_FILE
        return _sha256(folder / MANIFEST_FILE), _sha256(signature) if signature.exists() else ""

    def _bring(self, version: int, state: tuple[str, str], is_known: bool, report: Report) -> None:
        record = self._patience.call(partial(self._store.record, version)) if is_known else None
        if record is not None and record.files[MANIFEST_FILE].sha256 != state[0]:
            raise AdapterError(f"{self._store.url}: has another adapter {version} than {self._local.path}")
        if record is None:
            manifest = self._local.read(version)[0]
            names = [*sorted(self._local.manifest(version)["files"]), MANIFEST_FILE]
            files, sent = self._send(version, [*names, SIGNATURE_FILE] if state[1] else names)
            self._patience.call(partial(self._store.put_record, AdapterRecord(manifest.number, files)))
            report(policy_name(version), sent)
        elif state[1] not in ("", record.signature_sha256):
            files, sent = self._send(version, [SIGNATURE_FILE])
            signed = replace(record, files={**record.files, **files})
            self._patience.call(partial(self._store.put_record, signed))
            report(f"signature of {policy_name(version)}", sent)
        self._there[version] = state

    def _send(self, version: int, names: list[str]) -> tuple[dict[str, Content], int]:
        files, total = {}, 0
        for name in names:
            with open(self._local.path / folder_name(version) / name, "rb") as file:
                files[name], sent = send(file, self._store, self._patience, CHUNK_BYTES)
            total += sent
        return files, total

    def _bring_calibrations(self, report: Report, rejected: Rejected) -> None:
        try:
            numbers = calibrated(self._local.path)
        except AdapterError as error:
            rejected("calibrations", error)
            return
        for number in numbers:
            try:
                self._bring_calibration(number, report)
            except AdapterError as error:
                rejected(f"the calibration of {policy_name(number)}", error)

    def _bring_calibration(self, number: int, report: Report) -> None:
        """Brings a calibration, unless the store has one that was made later."""
        if number not in (0, *self._there):
            return
        content = read_content(self._local.path, number)
        if content is None or content == self._calibrations.get(number):
            return
        policy = check_content(self._local, number, content).policy
        there = self._patience.call(partial(self._store.calibration, number))
        if there is None or _gives_way(there, policy) or replaces(content, there):
            self._patience.call(partial(self._store.put_calibration, number, content))
            report(f"calibration of {policy_name(number)}", len(content))
        self._calibrations[number] = content

    def _bring_pointer(self, report: Report) -> None:
        pointer = read_pointer(self._local.path)
        if pointer is None or pointer == self._pointer:
            return
        promotion = parse_promotion(pointer)
        if promotion.number not in (0, *self._there):
            raise AdapterError(
                f"{self._local.path / CURRENT_FILE} names {policy_name(promotion.number)}, which has not come to "
                f"{self._store.url}"
            )
        for ring in self._rings:
            if move_ring(self._store, ring, pointer, self._patience):
                report(f"ring {ring}: {policy_name(promotion.number)} (change {promotion.sequence})", len(pointer))
        self._pointer = pointer


def _gives_way(content: bytes, policy: PolicyIdentity) -> bool:
    """Whether what a store has as the calibration of an adapter is damaged, or of another adapter."""
    try:
        there = parse_calibration(content).policy
    except AdapterError:
        return True
    return policy.number != 0 and there != policy


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
