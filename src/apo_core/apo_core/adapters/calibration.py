"""A calibration of requests for help: which adapter it belongs to, the score, and what it measured.

`<store>/help/<NNNNNN>.json` belongs to the adapter of that number, `000000.json` to the base policy. It decides when
the operator is asked and never moves the robot; it is signed like a promotion, since a threshold out of reach silences
every request.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apo_core.adapters.files import parse_json, to_json
from apo_core.adapters.manifest import MAX_NUMBER, folder_name
from apo_core.adapters.signature import TrustedKeys, unsigned
from apo_core.errors import AdapterError
from apo_core.help.features import FEATURES, FEATURES_VERSION
from apo_core.help.score import HelpScore, Weight

SCHEMA_NAME = "apo.help_calibration"
SCHEMA_VERSION = 1
FOLDER = "help"  # in the adapter store
_NAME = re.compile(r"([0-9]{6,10})\.json")
MAX_BYTES = 1 << 16
_MAX_TEXT = 256
_MAX_DEPTH = 4  # of the measures
_LARGEST = 1e9
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """A base policy with an adapter, by content."""

    number: int  # adapter; 0 is the base policy
    adapter_sha256: str  # of the adapter's weights; empty for the base policy
    base_model_sha256: str
    statistics_sha256: str
    contract_sha256: str


@dataclass(frozen=True, slots=True)
class HelpCalibration:
    """A score with its threshold, for one adapter and one way of executing its chunks."""

    policy: PolicyIdentity
    replan_steps: int  # rows executed before the next chunk
    action_horizon: int  # rows predicted; 0: all of a chunk
    score: HelpScore
    false_alarms: float  # share of unaided successes with an alarm that the threshold is for
    horizon_s: float  # before a takeover or failure that the score was trained on
    measures: Mapping[str, Any]  # plain finite JSON: figures on episodes held out
    created_utc: str  # ISO 8601


def calibration_path(store: Path, number: int) -> Path:
    """The file of an adapter's calibration."""
    return store / FOLDER / f"{folder_name(number)}.json"


def calibrated(store: Path) -> list[int]:
    """Numbers of the policies whose calibration a store has, ascending; 0 is the base policy. Raises AdapterError."""
    try:
        names = os.listdir(store / FOLDER)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AdapterError(f"{store / FOLDER} cannot be listed: {error}") from None
    numbers = (int(match[1]) for match in map(_NAME.fullmatch, names) if match)
    return sorted(number for number in numbers if calibration_path(store, number).name in names)


def to_document(calibration: HelpCalibration) -> dict[str, Any]:
    """Content of the file."""
    score = calibration.score
    return {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "features_version": FEATURES_VERSION,
        "policy": dataclasses.asdict(calibration.policy),
        "replan_steps": calibration.replan_steps,
        "action_horizon": calibration.action_horizon,
        "weights": {name: dataclasses.asdict(used) for name, used in score.weights.items()},
        "bias": score.bias,
        "threshold": score.threshold,
        "false_alarms": calibration.false_alarms,
        "horizon_s": calibration.horizon_s,
        "measures": dict(calibration.measures),
        "created_utc": calibration.created_utc,
    }


def from_document(document: Mapping[str, Any]) -> HelpCalibration:
    """Checks the content of the file. Raises AdapterError: everything wrong with it."""
    faults = document_faults(document)
    if faults:
        raise AdapterError("; ".join(faults))
    weights = {name: Weight(**{k: float(v) for k, v in used.items()}) for name, used in document["weights"].items()}
    return HelpCalibration(
        PolicyIdentity(**document["policy"]),
        document["replan_steps"],
        document["action_horizon"],
        HelpScore(weights, float(document["bias"]), float(document["threshold"])),
        float(document["false_alarms"]),
        float(document["horizon_s"]),
        document["measures"],
        document["created_utc"],
    )


def parse_calibration(content: bytes, trusted: TrustedKeys | None = None) -> HelpCalibration:
    """The calibration in the content of a file.

    Args:
        content: of the file.
        trusted: must have signed it; None asks for no signature.

    Raises:
        AdapterError: everything wrong with it, or it is not signed.
    """
    document = _parsed(content)
    if trusted is not None:
        trusted.check_document(document)
    return from_document(unsigned(document))


def replaces(content: bytes, other: bytes) -> bool:
    """Whether a calibration takes the place of another one of its policy, whichever of the two comes first.

    The one that was made later does; of two of the same second, that with the larger hash. Another signature of the
    same calibration does, none does not.

    Args:
        content: of a file, as `parse_calibration` accepts it.
        other: the same.
    """
    document, there = _parsed(content), _parsed(other)
    if unsigned(document) == unsigned(there):
        return document not in (there, unsigned(document))
    return _rank(unsigned(document)) > _rank(unsigned(there))


def _rank(document: Mapping[str, Any]) -> tuple[datetime, str]:
    return _time(document["created_utc"]), hashlib.sha256(to_json(document)).hexdigest()


def _time(text: str) -> datetime:
    """Raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _parsed(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise AdapterError(f"it has {len(content)} bytes, at most {MAX_BYTES} are allowed")
    try:
        return parse_json(content, "it")
    except RecursionError:
        raise AdapterError("it is nested too deep") from None


_KEYS = {
    *("schema", "schema_version", "features_version", "policy", "replan_steps", "action_horizon", "weights", "bias"),
    *("threshold", "false_alarms", "horizon_s", "measures", "created_utc"),
}


def document_faults(document: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the content of the file."""
    faults = _key_faults("", document, _KEYS)
    if faults:
        return faults
    if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
        faults.append(
            f"schema is {document['schema']!r} {document['schema_version']!r}, "
            f"this software reads '{SCHEMA_NAME}' {SCHEMA_VERSION}"
        )
    if document["features_version"] != FEATURES_VERSION:
        found = document["features_version"]
        faults.append(f"features_version = {found!r}, this software computes version {FEATURES_VERSION}")
    faults += _policy_faults(document["policy"])
    for name, low, high in (("replan_steps", 1, 1000), ("action_horizon", 0, 1000)):
        if not _is_integer(document[name], low, high):
            faults.append(f"{name} = {document[name]!r} must be {low}..{high}")
    faults += _weight_faults(document["weights"])
    limits = {"bias": (-_LARGEST, _LARGEST), "threshold": (-_LARGEST, _LARGEST), "horizon_s": (0.0, 3600.0)}
    for name, (least, most) in limits.items():
        if not _is_number(document[name], least, most):
            faults.append(f"{name} = {document[name]!r} must be a number of {least:g}..{most:g}")
    if not _is_number(document["false_alarms"], 0, 1) or document["false_alarms"] in (0, 1):
        faults.append(f"false_alarms = {document['false_alarms']!r} must be above 0 and below 1")
    if not isinstance(document["measures"], Mapping) or not _is_plain(document["measures"], _MAX_DEPTH):
        faults.append(f"measures must be an object of plain finite JSON values, at most {_MAX_DEPTH} deep")
    if not _is_time(document["created_utc"]):
        faults.append(f"created_utc = {str(document['created_utc'])[:80]!r} must be a time in ISO 8601")
    return faults


def _policy_faults(policy: Any) -> list[str]:
    if not isinstance(policy, Mapping):
        return ["policy must be an object"]
    faults = _key_faults("policy.", policy, {spec.name for spec in dataclasses.fields(PolicyIdentity)})
    if faults:
        return faults
    number = policy["number"]
    if not _is_integer(number, 0, MAX_NUMBER):
        faults.append(f"policy.number = {number!r} must be 0 (base policy) or an adapter number")
    for name in ("adapter_sha256", "base_model_sha256", "statistics_sha256", "contract_sha256"):
        empty = name == "adapter_sha256" and number == 0
        valid = isinstance(policy[name], str) and (policy[name] == "" if empty else _SHA256.fullmatch(policy[name]))
        if not valid:
            faults.append(f"policy.{name} = {policy[name]!r} must be {'empty' if empty else '64 hex digits'}")
    return faults


def _weight_faults(weights: Any) -> list[str]:
    if not isinstance(weights, Mapping) or not weights:
        return ["weights must be an object with at least one feature"]
    faults = []
    for name, used in weights.items():
        if name not in FEATURES:
            faults.append(f"weights.{str(name)[:80]} is no feature; they are {', '.join(FEATURES)}")
        elif not isinstance(used, Mapping) or set(used) != {"mean", "scale", "weight"}:
            faults.append(f"weights.{name} must hold mean, scale and weight")
        elif not all(_is_number(value, -_LARGEST, _LARGEST) for value in used.values()):
            faults.append(f"weights.{name} must hold numbers of {-_LARGEST:g}..{_LARGEST:g}")
        elif used["scale"] < 1e-9:
            faults.append(f"weights.{name}.scale = {used['scale']!r} must be at least 1e-09")
    return faults


def _key_faults(prefix: str, document: Mapping[str, Any], known: set[str]) -> list[str]:
    faults = [f"{prefix}{name} is missing" for name in sorted(known - set(document))]
    return faults + [f"{prefix}{str(name)[:80]} is unknown" for name in sorted(set(document) - known)]


def _is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_time(value: Any) -> bool:
    try:
        return _is_text(value) and _time(value) is not None
    except ValueError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping):
        return depth > 0 and all(_is_text(key) and _is_plain(item, depth - 1) for key, item in value.items())
    if isinstance(value, list | tuple):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _MAX_TEXT)
