"""The manifest of an adapter: its origin, and the checks of its schema."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

SCHEMA_NAME = "apo.adapter"
SCHEMA_VERSION = 3
EMITTED = "emitted"  # trained on the actions that the policy's tokens stand for
REBINNED = "rebinned"  # trained on tokens made from the actions, which at the end of a range were never emitted
# what the manifests of earlier versions lack
_OF_EARLIER_VERSIONS: Mapping[int, Mapping[str, Any]] = {
    1: {"config": {}, "verdict": None, "action_labels": REBINNED},
    2: {"action_labels": REBINNED},
}
MODEL_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "signature.json"  # optional
# rank 32 on a 7B model is 432 MB in float32
MAX_BYTES = {MODEL_FILE: 4 << 30, CONFIG_FILE: 1 << 20, MANIFEST_FILE: 8 << 20, SIGNATURE_FILE: 4096}
MAX_NUMBER = 2**32 - 1  # uint32 in the messages
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ManifestInput:
    """What the maker of an adapter records about it."""

    parent: int  # adapter it was trained from, 0 is the base policy
    base_model_sha256: str  # of the base model's weights
    statistics_sha256: str  # of the normalisation statistics
    contract_sha256: str  # Contract.sha256
    episode_ids: tuple[str, ...]  # trained on
    config_sha256: str  # of the training configuration
    metrics: Mapping[str, Any]  # plain JSON data, finite
    created_utc: str  # ISO 8601
    method: str  # e.g. apo
    self_test: Mapping[str, Any] | None = None  # the answer of the trainer's policy to the probe; plain JSON data
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # training configuration, plain JSON data
    verdict: Mapping[str, Any] | None = None  # of the gate, with `accepted` true; None: not judged
    action_labels: str = EMITTED  # or REBINNED: which tokens stood for the policy's actions in training


@dataclass(frozen=True, slots=True)
class AdapterVersion(ManifestInput):
    """A published adapter."""

    number: int = 0  # 1.., never reused
    adapter_config: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # adapter_config.json (PEFT)


def policy_name(number: int) -> str:
    """The policy with adapter `number`, in words; 0 is the base policy."""
    return f"adapter {number}" if number else "the base policy"


def folder_name(number: int) -> str:
    """Name of an adapter's folder in the store."""
    return f"{number:06d}"


def fields_of(manifest: ManifestInput) -> dict[str, Any]:
    """The fields that the maker of an adapter gives."""
    return {spec.name: getattr(manifest, spec.name) for spec in dataclasses.fields(ManifestInput)}


def upgraded(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a manifest.json of any supported version, converted to the current version."""
    version = document.get("schema_version")
    lacking = _OF_EARLIER_VERSIONS.get(version) if _is_integer(version) else None
    return document if lacking is None else {**lacking, **document, "schema_version": SCHEMA_VERSION}


def document_faults(document: Mapping[str, Any], number: int) -> list[str]:
    """Everything wrong with the content of a manifest.json that lies in the folder of `number`."""
    known = {"schema", "schema_version", "number", "files", *(spec.name for spec in dataclasses.fields(ManifestInput))}
    faults = [f"{name} is missing" for name in sorted(known - set(document))]
    faults += [f"{name} is unknown" for name in sorted(set(document) - known)]
    if faults:
        return faults
    if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
        faults.append(
            f"schema is {document['schema']!r} {document['schema_version']!r}, "
            f"this software reads '{SCHEMA_NAME}' 1 to {SCHEMA_VERSION}"
        )
    if document["number"] != number or isinstance(document["number"], bool):
        faults.append(f"number = {document['number']!r} does not match the folder {folder_name(number)}")
    files = document["files"]
    if not isinstance(files, dict) or set(files) != {MODEL_FILE, CONFIG_FILE}:
        faults.append(f"files must list exactly {MODEL_FILE} and {CONFIG_FILE}")
    else:
        for name, entry in files.items():
            if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
                faults.append(f"files.{name} must hold bytes and sha256")
            elif not _is_integer(entry["bytes"]) or not 0 < entry["bytes"] <= MAX_BYTES[name]:
                faults.append(f"files.{name}.bytes = {entry['bytes']!r} must be 1..{MAX_BYTES[name]}")
            elif not _is_sha256(entry["sha256"]):
                faults.append(f"files.{name}.sha256 is not a sha256")
    faults += manifest_faults(document)
    if not faults and document["parent"] >= number:
        faults.append(f"parent = {document['parent']} must be below number = {number}")
    return faults


def manifest_faults(values: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the fields of a ManifestInput."""
    faults = []
    if not _is_integer(values["parent"]) or not 0 <= values["parent"] <= MAX_NUMBER:
        faults.append(f"parent = {values['parent']!r} must be 0 (base policy) or an adapter number")
    hashes = ("base_model_sha256", "statistics_sha256", "contract_sha256", "config_sha256")
    faults += [f"{name} = {values[name]!r} is not 64 hex digits" for name in hashes if not _is_sha256(values[name])]
    ids = values["episode_ids"]
    if not isinstance(ids, list | tuple) or not all(isinstance(name, str) and 0 < len(name) <= 256 for name in ids):
        faults.append("episode_ids must be a list of texts of 1..256 characters")
    faults += [
        f"{name} = {values[name]!r} must be a text of 1..256 characters"
        for name in ("created_utc", "method")
        if not isinstance(values[name], str) or not 0 < len(values[name]) <= 256
    ]
    if not isinstance(values["metrics"], Mapping) or not _is_plain(values["metrics"]):
        faults.append("metrics must be an object of plain finite JSON values")
    if values["self_test"] is not None and not (
        isinstance(values["self_test"], Mapping) and _is_plain(values["self_test"])
    ):
        faults.append("self_test must be null or an object of plain finite JSON values")
    if not isinstance(values["config"], Mapping) or not _is_plain(values["config"]):
        faults.append("config must be an object of plain finite JSON values")
    if values["action_labels"] not in (EMITTED, REBINNED):
        faults.append(f"action_labels = {values['action_labels']!r} must be '{EMITTED}' or '{REBINNED}'")
    verdict = values["verdict"]
    if verdict is not None and not (isinstance(verdict, Mapping) and _is_plain(verdict)):
        faults.append("verdict must be null or an object of plain finite JSON values")
    elif verdict is not None and verdict.get("accepted") is not True:
        faults.append(f"verdict.accepted = {verdict.get('accepted')!r} must be true: the gate has rejected it")
    return faults


def config_faults(config: Mapping[str, Any]) -> list[str]:
    """Everything wrong with an adapter_config.json that can be checked without the model."""
    faults = []
    if config.get("peft_type") != "LORA":
        faults.append(f"peft_type = {config.get('peft_type')!r} must be 'LORA'")
    rank = config.get("r")
    if not _is_integer(rank) or not 1 <= rank <= 1024:
        faults.append(f"r = {rank!r} must be a rank of 1..1024")
    if not _is_plain(config):
        faults.append("it must hold plain finite JSON values only")
    return faults


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    """Whether a value survives JSON unchanged (tuples become lists)."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool | int)
