"""Adapter store: one folder a LoRA adapter, published whole or not at all, under a number that is never used again.

`<store>/<NNNNNN>/` holds `adapter_model.safetensors` and `adapter_config.json`, as PEFT writes them, `manifest.json`
with the size and sha256 of both, and `signature.json` where it is signed. Version 0 is the base policy and has no
folder. `<store>/current.json` names the version that the policies serve. Nothing in a store is trusted: reading
checks sizes before reading, signature and hashes before parsing, and follows no link. `apo_vla.lora.adapter`
checks whether the tensors fit a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from apo_core.adapters import files as adapter_files
from apo_core.adapters import folder as adapter_folder
from apo_core.adapters.calibration import calibrated, calibration_path
from apo_core.adapters.files import DTYPES
from apo_core.adapters.folder import FOLDER, TEMPORARY, locked
from apo_core.adapters.manifest import (
    CONFIG_FILE,
    MANIFEST_FILE,
    MAX_NUMBER,
    MODEL_FILE,
    SIGNATURE_FILE,
    AdapterVersion,
    ManifestInput,
    config_faults,
    fields_of,
    folder_name,
    manifest_faults,
)
from apo_core.adapters.promotion import (
    CURRENT_FILE,
    Promotion,
    parse_promotion,
    read_promotion,
    write_pointer,
    write_promotion,
)
from apo_core.adapters.signature import SigningKey, TrustedKeys, signer_of
from apo_core.adapters.trial import Trial
from apo_core.adapters.trial_file import read_trial, write_trial
from apo_core.errors import AdapterError
from apo_core.system.atomic_files import replace_file, sync

T = TypeVar("T")


class AdapterStore:
    """The adapters in one folder. Several processes may publish, promote, prune and read at once.

    Args:
        path: folder; made by the first publication.
        trusted: with it, an adapter, promotion or trial that none of its keys has signed is not read.
        key: signs the promotions and trials that are written; None: they are not signed.
    """

    def __init__(self, path: Path | str, trusted: TrustedKeys | None = None, key: SigningKey | None = None):
        self.path, self.trusted, self._key = Path(path), trusted, key

    def versions(self) -> list[int]:
        """Numbers of the published adapters, ascending; `read` checks whether one is sound."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AdapterError(f"adapter store {self.path} cannot be listed: {error}") from None
        return sorted(int(name) for name in names if FOLDER.fullmatch(name) and name == folder_name(int(name)))

    def latest(self) -> int:
        """Number of the newest published adapter; 0, the base policy, when there is none."""
        return max(self.versions(), default=0)

    def publish(
        self,
        tensors: Mapping[str, np.ndarray],
        adapter_config: Mapping[str, Any],
        manifest: ManifestInput,
        promote: bool = True,
        key: SigningKey | None = None,
    ) -> AdapterVersion:
        """Writes an adapter under the next number; it appears at once and is on disk when this returns.

        Args:
            tensors: float32 or float16, by PEFT parameter name.
            adapter_config: content of PEFT's adapter_config.json.
            manifest: what it was made from; one that the gate rejected is not published.
            promote: whether the policies that follow the store serve it.
            key: signs it, and its promotion.

        Raises:
            AdapterError: an argument has the wrong type, or the folder cannot be written.
        """
        faults = manifest_faults(fields_of(manifest)) + config_faults(adapter_config)
        if not tensors:
            faults.append("tensors is empty")
        for name, value in tensors.items():
            if not isinstance(value, np.ndarray) or value.dtype not in DTYPES or value.size == 0:
                faults.append(f"tensor '{name}' must be a non-empty array of float32 or float16")
        if faults:
            raise AdapterError(f"adapter cannot be published to {self.path}: {'; '.join(faults)}")
        files = {
            MODEL_FILE: adapter_files.to_safetensors(tensors),
            CONFIG_FILE: adapter_files.to_json(adapter_config),
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path):
                number = adapter_folder.take_number(self.path)
                if manifest.parent >= number:
                    raise AdapterError(f"parent = {manifest.parent} must be below number = {number} ({self.path})")
                adapter_folder.write_folder(self.path, number, files, manifest, key)
                if promote:
                    reason = f"published by method {manifest.method}"[:256]
                    promotion = self.promotion().promoted(number, manifest.created_utc, reason)
                    write_promotion(self.path, promotion, key or self._key)
        except OSError as error:
            raise AdapterError(f"adapter cannot be published to {self.path}: {error}") from None
        return AdapterVersion(**fields_of(manifest), number=number, adapter_config=json.loads(files[CONFIG_FILE]))

    def promotion(self) -> Promotion:
        """What the policies that follow this store serve; the base policy before the first promotion.

        Raises:
            AdapterError: the pointer cannot be read, is damaged, or not signed by a trusted key.
        """
        return read_promotion(self.path, self.trusted)

    def promote(self, version: int, changed_utc: str, reason: str = "") -> Promotion:
        """Makes the policies that follow the store serve a version; 0 is the base policy.

        Raises:
            AdapterError: the adapter is missing, damaged or not signed; the store cannot be written.
        """
        if version != 0 or isinstance(version, bool):
            self.read(version)
        return self._change(lambda promotion: promotion.promoted(version, changed_utc, reason))

    def roll_back(self, changed_utc: str, reason: str = "") -> Promotion:
        """Goes back to what was promoted before; adapters that are gone or damaged since then are skipped.

        Raises:
            AdapterError: the base policy is promoted already, or the store cannot be written.
        """
        sound = {version for version in self.promotion().history if self._is_sound(version)}
        return self._change(lambda promotion: promotion.rolled_back(sound, changed_utc, reason))

    def sign(self, version: int, key: SigningKey) -> None:
        """Signs a published adapter after checking it; an earlier signature is replaced.

        Raises:
            AdapterError: it is missing or damaged, or the store cannot be written.
        """
        AdapterStore(self.path).read(version)
        folder = self.path / folder_name(version)
        try:
            with locked(self.path):
                temporary = self.path / f"{TEMPORARY}signature"
                data = key.sign((folder / MANIFEST_FILE).read_bytes())
                replace_file(folder / SIGNATURE_FILE, data, temporary)
        except OSError as error:
            raise AdapterError(f"adapter {version} in {self.path} cannot be signed: {error}") from None

    def take_in(self, version: int, folder: Path) -> None:
        """Makes a folder with an adapter of another store the adapter of its number, after checks as in `read`.

        Args:
            version: its number there and here.
            folder: on the disk, in the file system of this store; renamed.

        Raises:
            AdapterError: it is rejected, the number is in use here, or the store cannot be written.
        """
        self._in_folder(version, lambda opened: adapter_folder.read(opened, version, self.trusted), folder)
        try:
            with locked(self.path):
                adapter_folder.take_folder(self.path, version, folder)
        except OSError as error:
            raise AdapterError(f"adapter {version} cannot be taken into {self.path}: {error}") from None

    def take_signature(self, version: int, signature: bytes) -> None:
        """Replaces the signature of an adapter by one that was made in another store.

        Raises:
            AdapterError: the adapter is missing, no trusted key made the signature, or the store cannot be written.
        """
        path = self.path / folder_name(version)
        try:
            signer_of(signature)
            if self.trusted is not None:
                self.trusted.check((path / MANIFEST_FILE).read_bytes(), signature)
            with locked(self.path):
                replace_file(path / SIGNATURE_FILE, signature, self.path / f"{TEMPORARY}signature")
        except (OSError, AdapterError) as error:
            raise AdapterError(f"the signature of adapter {version} in {self.path} is not replaced: {error}") from None

    def follow(self, pointer: bytes) -> bool:
        """Takes over the promotion of another store if it is newer than the one here, with its signature.

        Args:
            pointer: content of the other store's `current.json`.

        Returns:
            Whether it is newer: a change with a higher `sequence`, also one that goes back to an older adapter.

        Raises:
            AdapterError: it is damaged, not signed by a trusted key, names an adapter that is not here and sound, or
                both stores have made a change of that number; this one's stays.
        """
        promotion = parse_promotion(pointer, self.trusted)
        if not promotion.replaces(self.promotion()):
            return False
        if promotion.number != 0:
            self.read(promotion.number)
        try:
            with locked(self.path):
                if is_newer := promotion.replaces(self.promotion()):
                    write_pointer(self.path, pointer)
        except OSError as error:
            raise AdapterError(f"{self.path / CURRENT_FILE} cannot be written: {error}") from None
        return is_newer

    def trial(self, candidate: int) -> Trial | None:
        """The trial of a candidate; None where it has none. Raises AdapterError where its file is damaged."""
        return read_trial(self.path, candidate, self.trusted)

    def record_trial(self, trial: Trial) -> None:
        """Replaces the file of a trial. Raises AdapterError where it cannot be written."""
        try:
            with locked(self.path):
                write_trial(self.path, trial, self._key)
        except OSError as error:
            raise AdapterError(f"the trial of adapter {trial.candidate} cannot be written: {error}") from None

    def prune(self, keep: int) -> list[int]:
        """Removes all but the newest `keep` adapters; returns the numbers removed. They are not used again.

        What is promoted, what a rollback would bring back, and what is on trial is kept as well. Calibrations of
        adapters that are gone go too, also those that a killed prune has left; that of the base policy stays.
        """
        if keep < 1:
            raise AdapterError(f"keep = {keep} must be at least 1")
        if not self.path.is_dir():
            return []
        with locked(self.path):
            versions, promotion = self.versions(), self.promotion()
            before = [number for number in promotion.history if number in versions][-1:]
            kept = (promotion.number, *before, *self._on_trial(versions))
            removed = [number for number in versions[:-keep] if number not in kept]
            for number in removed:
                # renamed first, so that a reader finds all of it or none
                gone = self.path / f"{TEMPORARY}{folder_name(number)}"
                os.rename(self.path / folder_name(number), gone)
                adapter_files.remove(gone)
            sync(self.path)
            for number in set(calibrated(self.path)) - {0, *self.versions()}:
                adapter_files.remove(calibration_path(self.path, number))
        return removed

    def read(self, version: int) -> tuple[AdapterVersion, dict[str, np.ndarray]]:
        """Reads an adapter after checking signature, sizes, hashes and schema of everything in its folder.

        Returns:
            The manifest and {name: float32 or float16 array}; values may be non-finite, shapes are not checked.

        Raises:
            AdapterError: not in the store, damaged in any way, or not signed by a trusted key.
        """
        return self._in_folder(version, lambda folder: adapter_folder.read(folder, version, self.trusted))

    def manifest(self, version: int) -> dict[str, Any]:
        """The checked content of a manifest.json; the other files are not opened, so it is quick.

        Raises:
            AdapterError: as `read`, as far as the manifest shows it.
        """
        return self._in_folder(version, lambda folder: adapter_folder.read_manifest(folder, version, self.trusted))

    def signer(self, version: int) -> str:
        """Fingerprint of the key that an adapter's signature names, empty without one; nothing is proved by it."""
        return self._in_folder(version, adapter_folder.signer)

    def _in_folder(self, version: int, work: Callable[[int], T], path: Path | None = None) -> T:
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= MAX_NUMBER:
            raise AdapterError(
                f"adapter version {version!r} must be 1..{MAX_NUMBER}; 0 is the base policy and is not in the store"
            )
        where = f"adapter {version} in {self.path}"
        try:
            folder = os.open(path or self.path / folder_name(version), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise AdapterError(f"{where} does not exist; versions there: {self.versions() or 'none'}") from None
        except OSError as error:
            raise AdapterError(f"{where} is not a folder of its own (a link or a file): {error}") from None
        try:
            return work(folder)
        except AdapterError as error:
            raise AdapterError(f"{where} is rejected: {error}") from None
        except (OSError, RecursionError, MemoryError) as error:
            raise AdapterError(f"{where} cannot be read: {type(error).__name__}: {error}") from None
        finally:
            os.close(folder)

    def _on_trial(self, versions: Iterable[int]) -> set[int]:
        """Adapters that an open trial needs; a trial that cannot be read counts as one."""
        kept: set[int] = set()
        for version in versions:
            try:
                trial = self.trial(version)
            except AdapterError:
                kept.add(version)
            else:
                kept |= {trial.candidate, trial.serving} if trial is not None and trial.is_open else set()
        return kept

    def _is_sound(self, version: int) -> bool:
        try:
            return version != 0 and bool(self.read(version))
        except AdapterError:
            return False

    def _change(self, change: Callable[[Promotion], Promotion]) -> Promotion:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path):
                promotion = change(self.promotion())
                write_promotion(self.path, promotion, self._key)
        except OSError as error:
            raise AdapterError(f"{self.path / CURRENT_FILE} cannot be written: {error}") from None
        return promotion
