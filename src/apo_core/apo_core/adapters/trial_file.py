"""The file of a trial: `trials/<candidate>.json` of an adapter store, replaced whole, and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from apo_core.adapters.files import parse_json, read_plain_file, to_json
from apo_core.adapters.folder import TEMPORARY
from apo_core.adapters.manifest import MAX_NUMBER
from apo_core.adapters.signature import SigningKey, TrustedKeys, unsigned
from apo_core.adapters.trial import (
    MAX_DRAWS,
    MAX_TEXT,
    ShadowCounts,
    Stage,
    Trial,
    TrialEpisode,
    TrialLimits,
    TrialOutcome,
)
from apo_core.config.parameters import build
from apo_core.errors import AdapterError, ConfigError
from apo_core.system.atomic_files import replace_file

TRIALS = "trials"
SCHEMA_NAME = "apo.trial"
SCHEMA_VERSION = 1
_MAX_BYTES = 8 << 20


def to_document(trial: Trial) -> dict[str, Any]:
    """Content of the trial's file."""
    return {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, **asdict(trial)}


def from_document(document: Mapping[str, Any]) -> Trial:
    """Checks the content of a trial's file.

    Raises:
        AdapterError: everything wrong with it.
    """
    names = {"schema", "schema_version", *(spec.name for spec in fields(Trial))}
    faults = [f"{name} is missing" for name in sorted(names - set(document))]
    faults += [f"{name} is unknown" for name in sorted(set(document) - names)]
    if faults:
        raise AdapterError("; ".join(faults))
    if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
        faults.append(f"schema is {document['schema']!r} {document['schema_version']!r}")
    faults += [
        f"{name} = {document[name]!r} must be 0 (base policy) or an adapter number"
        for name in ("candidate", "serving")
        if not _is_count(document[name], MAX_NUMBER)
    ]
    if not _is_count(document["sequence"], 2**63 - 1):
        faults.append(f"sequence = {document['sequence']!r} must be a count")
    faults += [
        f"{name} must be a text of at most {MAX_TEXT} characters"
        for name in ("decided_utc", "reason")
        if not _is_text(document[name])
    ]
    if document["stage"] not in list(Stage):
        faults.append(f"stage = {document['stage']!r} must be one of {', '.join(Stage)}")
    limits, limit_faults = _limits(document["limits"])
    faults += limit_faults
    faults += _part_faults("shadow", document["shadow"], ShadowCounts)
    episodes = document["episodes"]
    if not isinstance(episodes, list) or len(episodes) > MAX_DRAWS:
        faults.append(f"episodes must be a list of at most {MAX_DRAWS}")
    else:
        for number, episode in enumerate(episodes):
            faults += _part_faults(f"episodes[{number}]", episode, TrialEpisode)
            if isinstance(episode, Mapping) and episode.get("outcome", "") not in list(TrialOutcome):
                faults.append(f"episodes[{number}].outcome = {episode['outcome']!r} is unknown")
    if faults:
        raise AdapterError("; ".join(faults[:8]))
    made = {name: document[name] for name in ("candidate", "serving", "sequence", "decided_utc", "reason")}
    return Trial(
        **made,
        limits=limits,
        stage=Stage(document["stage"]),
        shadow=ShadowCounts(**document["shadow"]),
        episodes=tuple(TrialEpisode(**{**each, "outcome": TrialOutcome(each["outcome"])}) for each in episodes),
    )


def read_trial(store: Path, candidate: int, trusted: TrustedKeys | None = None) -> Trial | None:
    """The trial of a candidate; None where it has none.

    Args:
        store: folder.
        candidate: number.
        trusted: must have signed it; None asks for no signature.

    Raises:
        AdapterError: the file cannot be read, is damaged, or not signed.
    """
    path = store / TRIALS / _file_name(candidate)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdapterError(f"{path.parent} cannot be read: {error}") from None
    try:
        if path.name not in os.listdir(folder):
            return None
        document = parse_json(read_plain_file(folder, path.name, _MAX_BYTES), path.name)
        if trusted is not None:
            trusted.check_document(document)
        trial = from_document(unsigned(document))
        if trial.candidate != candidate:
            raise AdapterError(f"is of adapter {trial.candidate}")
        return trial
    except (AdapterError, OSError, RecursionError) as error:
        raise AdapterError(f"{path} is rejected: {error}") from None
    finally:
        os.close(folder)


def write_trial(store: Path, trial: Trial, key: SigningKey | None = None) -> None:
    """Replaces the file of a trial, signed by `key`; the caller holds the store's lock. Raises OSError."""
    folder = store / TRIALS
    folder.mkdir(parents=True, exist_ok=True)
    document = to_document(trial)
    content = to_json(document if key is None else key.signed(document))
    replace_file(folder / _file_name(trial.candidate), content, folder / f"{TEMPORARY}trial")


@contextlib.contextmanager
def claimed(store: Path, candidate: int) -> Iterator[bool]:
    """Whether this process alone holds the trial of a candidate; until the end of the block, or of the process."""
    folder = store / TRIALS
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f".{candidate:06d}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _limits(part: Any) -> tuple[TrialLimits, list[str]]:
    names = {spec.name for spec in fields(TrialLimits)}
    if not isinstance(part, Mapping) or set(part) != names:
        return TrialLimits(), [f"limits must be an object of {', '.join(sorted(names))}"]
    try:
        return build(TrialLimits, dict(part), "limits"), []
    except ConfigError as error:
        return TrialLimits(), [f"limits: {fault}" for fault in error.faults]


def _file_name(candidate: int) -> str:
    return f"{candidate:06d}.json"


def _part_faults(name: str, part: Any, kind: type) -> list[str]:
    """What is wrong with an object whose values must have the types of a dataclass's defaults."""
    if not isinstance(part, Mapping):
        return [f"{name} must be an object"]
    types = {spec.name: str(spec.type) for spec in fields(kind)}
    faults = [f"{name}.{key} is missing" for key in sorted(set(types) - set(part))]
    faults += [f"{name}.{key} is unknown" for key in sorted(set(part) - set(types))]
    for key in set(types) & set(part):
        value, wanted = part[key], types[key]
        right = {
            "int": _is_count(value, MAX_NUMBER),
            "float": isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
        }.get(wanted, _is_text(value))
        if not right:
            faults.append(f"{name}.{key} = {value!r} is no {'text' if wanted not in ('int', 'float') else wanted}")
    return faults


def _is_count(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT
