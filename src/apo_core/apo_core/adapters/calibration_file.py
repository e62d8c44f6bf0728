"""The files of calibrations, `<store>/help/<NNNNNN>.json`: written whole, read without trust."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from apo_core.adapters.calibration import (
    MAX_BYTES,
    HelpCalibration,
    PolicyIdentity,
    calibration_path,
    document_faults,
    parse_calibration,
    replaces,
    to_document,
)
from apo_core.adapters.files import read_plain_file, to_json
from apo_core.adapters.folder import locked
from apo_core.adapters.manifest import MODEL_FILE, policy_name
from apo_core.adapters.signature import SigningKey, TrustedKeys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.system.atomic_files import replace_file

COMMAND = "./apo help calibrate"


def identity(
    store: AdapterStore, number: int, base_sha256: str, statistics_sha256: str, contract_sha256: str
) -> PolicyIdentity:
    """Of adapter `number` of a store on a base policy. Raises AdapterError: it is missing or damaged."""
    sha256 = str(store.manifest(number)["files"][MODEL_FILE]["sha256"]) if number else ""
    return PolicyIdentity(number, sha256, base_sha256, statistics_sha256, contract_sha256)


def write_calibration(store: Path, calibration: HelpCalibration, key: SigningKey | None = None) -> Path:
    """Replaces the calibration of its adapter, signed by `key`; returns the file.

    Raises:
        AdapterError: its content is not valid, or the file cannot be written.
    """
    path = calibration_path(store, calibration.policy.number)
    document = to_document(calibration)
    faults = document_faults(document)
    if faults:
        raise AdapterError(f"{path} cannot be written: {'; '.join(faults)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(store):
            replace_file(path, to_json(document if key is None else key.signed(document)))
    except OSError as error:
        raise AdapterError(f"{path} cannot be written: {error}") from None
    return path


def read_calibration(store: Path, policy: PolicyIdentity, trusted: TrustedKeys | None = None) -> HelpCalibration | None:
    """The calibration of a policy; None when there is none.

    Args:
        store: folder.
        policy: whose it must be.
        trusted: must have signed it; None asks for no signature.

    Raises:
        AdapterError: the file is damaged, not signed, or belongs to another policy of the same number.
    """
    path = calibration_path(store, policy.number)
    content = read_content(store, policy.number)
    if content is None:
        return None
    try:
        calibration = parse_calibration(content, trusted)
        _check_policy(calibration.policy, policy)
    except AdapterError as error:
        raise _rejection(path, error, trusted) from None
    return calibration


def read_content(store: Path, number: int) -> bytes | None:
    """The content of a calibration's file, unchecked; None where there is none. Raises AdapterError."""
    path = calibration_path(store, number)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdapterError(f"{path.parent} is not a folder of its own (a link or a file): {error}") from None
    try:
        return read_plain_file(folder, path.name, MAX_BYTES) if path.name in os.listdir(folder) else None
    except (AdapterError, OSError) as error:
        raise _rejection(path, error) from None
    finally:
        os.close(folder)


def check_content(store: AdapterStore, number: int, content: bytes) -> HelpCalibration:
    """The calibration in the content of a file, if it may lie in a store under a number.

    An adapter's must have the hashes of its manifest. The base policy's must have those of the base model, statistics
    and contract of an adapter in the store; without adapters nobody but the policy node knows what they must be.

    Raises:
        AdapterError: it is damaged, not signed as the store asks, or of another policy.
    """
    calibration = parse_calibration(content, store.trusted)
    policy = calibration.policy
    if policy.number != number:
        raise AdapterError(f"it is of {policy_name(policy.number)}")
    if number != 0:
        _check_policy(policy, _identity_in(store, number))
    elif (versions := store.versions()) and not any(_is_base_of(policy, store, version) for version in versions):
        raise AdapterError(f"it is of another base policy than every adapter of {store.path}: {_base(policy)}")
    return calibration


def take_calibration(store: AdapterStore, number: int, content: bytes) -> bool:
    """Takes over the calibration of another store unless the one that is here `replaces` it; damaged ones do not.

    Returns:
        Whether it was taken.

    Raises:
        AdapterError: as of `check_content`, or the file cannot be written.
    """
    path = calibration_path(store.path, number)
    try:
        policy = check_content(store, number, content).policy
        path.parent.mkdir(exist_ok=True)
        with locked(store.path):
            other = _sound_content(store, number)
            if other is not None and parse_calibration(other).policy != policy and not store.versions():
                raise AdapterError(f"it is of another base policy than {path}: {_base(policy)}")
            if other is not None and not replaces(content, other):
                return False
            replace_file(path, content)
    except (AdapterError, OSError) as error:
        name = policy_name(number)
        raise AdapterError(f"the calibration of {name} is not taken into {store.path}: {error}") from None
    return True


def sign_calibration(store: AdapterStore, number: int, key: SigningKey) -> bool:
    """Signs the calibration of a policy after checking it; an earlier signature is replaced.

    Returns:
        Whether there is one.

    Raises:
        AdapterError: it is damaged or of another policy, or the file cannot be written.
    """
    path = calibration_path(store.path, number)
    try:
        with locked(store.path):  # from the reading on: a newer one that comes meanwhile must stay
            content = read_content(store.path, number)
            if content is None:
                return False
            document = to_document(check_content(AdapterStore(store.path), number, content))
            replace_file(path, to_json(key.signed(document)))
    except (AdapterError, OSError) as error:
        raise AdapterError(f"{path} cannot be signed: {error}") from None
    return True


def _sound_content(store: AdapterStore, number: int) -> bytes | None:
    """The content of a calibration that policy nodes accept; None without one."""
    try:
        content = read_content(store.path, number)
        if content is not None:
            check_content(store, number, content)
    except AdapterError:
        return None
    return content


def _identity_in(store: AdapterStore, number: int) -> PolicyIdentity:
    """Of an adapter, all by its manifest. Raises AdapterError."""
    manifest = store.manifest(number)
    hashes = (str(manifest[name]) for name in ("base_model_sha256", "statistics_sha256", "contract_sha256"))
    return PolicyIdentity(number, str(manifest["files"][MODEL_FILE]["sha256"]), *hashes)


def _is_base_of(policy: PolicyIdentity, store: AdapterStore, version: int) -> bool:
    try:
        return _base(_identity_in(store, version)) == _base(policy)
    except AdapterError:
        return False


def _base(policy: PolicyIdentity) -> str:
    names = ("base_model_sha256", "statistics_sha256", "contract_sha256")
    return ", ".join(f"{name} = {getattr(policy, name)}" for name in names)


def _rejection(path: Path, error: Exception, trusted: TrustedKeys | None = None) -> AdapterError:
    signed = "" if trusted is None else " --key FILE"
    return AdapterError(f"{path} is rejected: {error}; make it anew: {COMMAND}{signed}")


def _check_policy(found: PolicyIdentity, wanted: PolicyIdentity) -> None:
    names = [spec.name for spec in dataclasses.fields(PolicyIdentity)]
    faults = [
        f"{name} = {str(getattr(found, name))[:12]} is not {str(getattr(wanted, name))[:12]}"
        for name in names
        if getattr(found, name) != getattr(wanted, name)
    ]
    if faults:
        raise AdapterError(f"it is of another policy than {policy_name(wanted.number)}: {'; '.join(faults)}")
