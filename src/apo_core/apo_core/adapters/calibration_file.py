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
    from_document,
    to_document,
)
from apo_core.adapters.files import parse_json, read_plain_file, to_json
from apo_core.adapters.manifest import MODEL_FILE, policy_name
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


def write_calibration(store: Path, calibration: HelpCalibration) -> Path:
    """Replaces the calibration of its adapter; returns the file.

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
        replace_file(path, to_json(document))
    except OSError as error:
        raise AdapterError(f"{path} cannot be written: {error}") from None
    return path


def read_calibration(store: Path, policy: PolicyIdentity) -> HelpCalibration | None:
    """The calibration of a policy; None when there is none.

    Raises:
        AdapterError: the file is damaged, or belongs to another policy of the same number.
    """
    path = calibration_path(store, policy.number)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdapterError(f"{path.parent} is not a folder of its own (a link or a file): {error}") from None
    try:
        if path.name not in os.listdir(folder):
            return None
        calibration = from_document(parse_json(read_plain_file(folder, path.name, MAX_BYTES), path.name))
        _check_policy(calibration.policy, policy)
        return calibration
    except (AdapterError, OSError, RecursionError) as error:
        raise AdapterError(f"{path} is rejected: {error}; make it anew: {COMMAND}") from None
    finally:
        os.close(folder)


def _check_policy(found: PolicyIdentity, wanted: PolicyIdentity) -> None:
    names = [spec.name for spec in dataclasses.fields(PolicyIdentity)]
    faults = [
        f"{name} = {str(getattr(found, name))[:12]} is not {str(getattr(wanted, name))[:12]}"
        for name in names
        if getattr(found, name) != getattr(wanted, name)
    ]
    if faults:
        raise AdapterError(f"it is of another policy than {policy_name(wanted.number)}: {'; '.join(faults)}")
