"""A store at a URL -> a local adapter store: each version whole and verified, calibrations, and the promotion last."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from apo_core.adapters.calibration import calibration_path
from apo_core.adapters.calibration_file import take_calibration
from apo_core.adapters.files import remove
from apo_core.adapters.manifest import MANIFEST_FILE, SIGNATURE_FILE, folder_name, policy_name
from apo_core.adapters.promotion import parse_promotion
from apo_core.adapters.remote.store import AdapterRecord, RemoteAdapters
from apo_core.adapters.signature import TrustedKeys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.remote.back_off import BackOff
from apo_core.remote.chunk_store import DamageError
from apo_core.remote.content import receive
from apo_core.remote.journal import Journal
from apo_core.remote.marker import recognise
from apo_core.remote.patience import Patience
from apo_core.system.atomic_files import replacing, sync

_TEMPORARY = ".pulling-"  # prefix of names that readers ignore
_LOCK = ".pull.lock"
_JOURNALS = ".download"  # in the folder

Report = Callable[[str, int], None]  # takes what is new in words, and its bytes
Rejected = Callable[[str, Exception], None]  # takes what is left out, and why


class Pull:
    """Brings what a store has to a folder, look by look.

    Args:
        store: where from.
        folder: the local adapter store; made when missing.
        ring: whose promotion it follows.
        newest: so many versions come beside the promoted one and the one before; None: all.
        patience: how long an access to the store is tried again.
        trusted: must have signed what comes; None asks for no signatures.
    """

    def __init__(
        self,
        store: RemoteAdapters,
        folder: Path,
        ring: str,
        newest: int | None,
        patience: Patience,
        trusted: TrustedKeys | None = None,
    ):
        self._store, self._ring, self._newest, self._patience = store, ring, newest, patience
        self._trusted, self._local = trusted, AdapterStore(folder, trusted)
        self._journal = Journal(folder / _JOURNALS, store.url)
        self._here: set[int] = set()  # versions that are as in the store
        self._pointer: bytes | None = None  # of the last look
        self._calibrations: dict[int, str] = {}  # states of those that came, as the store lists them
        self._rests = BackOff()

    def look(self, report: Report, rejected: Rejected) -> None:
        """Brings the promoted version, its calibration and the promotion, then the others. What fails stops no other.

        What was rejected is brought again when the ring's promotion changes, else after 1, 2, 4 and at last 64 looks
        without it; a calibration also when the store has another.

        Args:
            report: takes each version and calibration, and the promotion where it changed.
            rejected: takes what is left out: damaged content, no trusted signature, another adapter of its number in
                the folder, a calibration of another policy, a promotion whose version did not come.

        Raises:
            AdapterError: the folder is no adapter store, or another pull works on it.
            RemoteError: the store fails for longer than the patience, or is in a folder and is not the one before.
            OSError: the folder cannot be made.
        """
        self._local.path.mkdir(parents=True, exist_ok=True)
        self._rests.next_look()
        with self._alone():
            self._patience.call(partial(recognise, self._store, self._journal, writes=False))
            listed = self._patience.call(self._store.listed) if self._newest != 0 else None
            wanted = self._follow({} if listed is None else listed[1], report, rejected)
            versions, calibrations = listed or ([], {})
            for version in dict.fromkeys((*wanted, *reversed(versions[-(self._newest or len(versions)) :]))):
                self._bring(version, report, rejected)
            for number in (number for number in (0, *self._local.versions()) if number in calibrations):
                self._calibrate(number, calibrations[number], report, rejected)

    def _follow(self, calibrations: Mapping[int, str], report: Report, rejected: Rejected) -> list[int]:
        """Brings the promoted version, its calibration, and the promotion.

        Args:
            calibrations: that the store lists, with their states; without a listing the store is asked for that of a
                new promotion.
            report, rejected: as of `look`.

        Returns:
            The version that a rollback would bring back.
        """
        pointer = self._patience.call(partial(self._store.ring, self._ring))
        if pointer is None:
            return []
        if is_new := pointer != self._pointer:
            self._pointer = pointer
            self._rests.clear()
        try:
            promotion = parse_promotion(pointer, self._trusted)
            if promotion.number != 0:
                self._bring(promotion.number, report, rejected)
            if promotion.number in calibrations or (is_new and self._newest == 0):
                self._calibrate(promotion.number, calibrations.get(promotion.number, ""), report, rejected)
            if self._local.follow(pointer):
                now = f"{policy_name(promotion.number)} is promoted (change {promotion.sequence})"
                report(f"ring {self._ring}: {now}", len(pointer))
        except (AdapterError, RecursionError) as error:
            rejected(f"the promotion of ring {self._ring}", error)
            return []
        return [version for version in promotion.history[-1:] if version != 0]

    def _bring(self, version: int, report: Report, rejected: Rejected) -> None:
        path = self._local.path / folder_name(version)
        if not self._rests.is_due(version) or (version in self._here and path.exists()):
            return
        try:
            record = self._patience.call(partial(self._store.record, version))
            if record is None:
                return
            if path.exists():
                self._compare(record, report)
            else:
                self._fetch(record, report)
        except (AdapterError, DamageError, OSError) as error:
            self._rests.reject(version)
            rejected(f"adapter {version}", error)
        else:
            self._here.add(version)
            self._rests.accept(version)

    def _calibrate(self, number: int, state: str, report: Report, rejected: Rejected) -> None:
        """Brings a calibration for a policy that is here, unless its state is that of the one before."""
        what = f"the calibration of {policy_name(number)}"
        path = calibration_path(self._local.path, number)
        is_here = number == 0 or (self._local.path / folder_name(number)).exists()
        is_known = state != "" and state == self._calibrations.get(number) and path.exists()
        if not is_here or is_known or not self._rests.is_due((what, state)):
            return
        try:
            content = self._patience.call(partial(self._store.calibration, number))
            if content is not None and take_calibration(self._local, number, content):
                report(f"calibration of {policy_name(number)}", len(content))
        except AdapterError as error:
            self._rests.reject((what, state))
            rejected(what, error)
        else:
            self._rests.accept((what, state))
            self._calibrations[number] = state

    def _fetch(self, record: AdapterRecord, report: Report) -> None:
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._local.path))
        try:
            for name in record.files:
                self._receive(record, name, temporary / name)
            temporary.chmod(0o755)
            sync(temporary)
            self._local.take_in(record.number, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        report(policy_name(record.number), sum(content.size for content in record.files.values()))

    def _compare(self, record: AdapterRecord, report: Report) -> None:
        folder = self._local.path / folder_name(record.number)
        if _sha256(folder / MANIFEST_FILE) != record.files[MANIFEST_FILE].sha256:
            raise AdapterError(f"{folder} is another adapter than that of {self._store.url}")
        if record.signature_sha256 not in ("", _sha256(folder / SIGNATURE_FILE)):
            temporary = self._local.path / f"{_TEMPORARY}signature"
            self._receive(record, SIGNATURE_FILE, temporary)
            try:
                self._local.take_signature(record.number, temporary.read_bytes())
            finally:
                temporary.unlink()
            report(f"signature of {policy_name(record.number)}", record.files[SIGNATURE_FILE].size)

    def _receive(self, record: AdapterRecord, name: str, path: Path) -> None:
        with replacing(path) as file:
            receive(record.files[name], self._store, self._patience, file, f"adapter {record.number}, {name}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps another pull off the folder, and removes what a killed one has left."""
        descriptor = os.open(self._local.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AdapterError(f"{self._local.path}: another apo adapters pull works on it") from None
            for entry in self._local.path.glob(f"{_TEMPORARY}*"):
                remove(entry)
            yield
        finally:
            os.close(descriptor)


def _sha256(path: Path) -> str:
    """Of a file; empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
