"""The commands of `apo adapters`: each takes parsed arguments, prints, and returns the exit status."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apo_core.adapters.calibration_file import check_content, read_content, sign_calibration
from apo_core.adapters.cli.export_peft import export_peft as write_peft
from apo_core.adapters.cli.table import format_description, format_table, summarise
from apo_core.adapters.files import parse_json
from apo_core.adapters.manifest import policy_name
from apo_core.adapters.promotion import Promotion
from apo_core.adapters.signature import document_signer, make_keys, read_signing_key, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import TrialOutcome
from apo_core.errors import AdapterError
from apo_core.system.timestamps import utc_now

REJECTED = 2


def ls(arguments: argparse.Namespace) -> int:
    """Prints a table; an adapter that cannot be read is named, the others are listed."""
    store = _store(arguments)
    current = store.promotion().number
    rows, status = [], 0
    for version in store.versions():
        try:
            rows.append(summarise(store.manifest(version), version == current, store.signer(version)))
        except AdapterError as error:
            print(f"apo adapters ls: {error}", file=sys.stderr)
            status = REJECTED
    _print([asdict(row) for row in rows] if arguments.json else format_table(rows, current))
    return status


def show(arguments: argparse.Namespace) -> int:
    """Prints the manifest of an adapter."""
    store = _store(arguments)
    manifest = store.manifest(arguments.version)
    promotion = store.promotion()
    facts = {
        "version": arguments.version,
        "promoted": promotion.number == arguments.version,
        "signer": store.signer(arguments.version),
        "trial": _trial_facts(store, arguments.version),
        "calibration": _calibration_facts(store, arguments.version),
        **{name: value for name, value in manifest.items() if name not in ("number", "schema", "schema_version")},
    }
    _print(facts if arguments.json else format_description(facts))
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Prints for each adapter whether it is sound, and why not."""
    store = _store(arguments)
    results = []
    for version in arguments.versions or store.versions():
        fault = ""
        try:
            store.read(version)
        except AdapterError as error:
            fault = str(error)
        results.append({"version": version, "sound": not fault, "fault": fault})
        if not arguments.json:
            print(f"FAULT {fault}" if fault else f"ok    adapter {version} in {store.path}")
    faulty = sum(not result["sound"] for result in results)
    _print(results if arguments.json else f"{len(results)} adapters, {faulty} with faults")
    return REJECTED if faulty else 0


def promote(arguments: argparse.Namespace) -> int:
    """Points to another version."""
    _print_promotion(_store(arguments).promote(arguments.version, utc_now(), arguments.reason))
    return 0


def rollback(arguments: argparse.Namespace) -> int:
    """Points to what was promoted before."""
    _print_promotion(_store(arguments).roll_back(utc_now(), arguments.reason))
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Removes old adapters."""
    removed = _store(arguments).prune(arguments.keep)
    print(f"removed {', '.join(map(str, removed)) or 'nothing'}")
    return 0


def export_peft(arguments: argparse.Namespace) -> int:
    """Makes a folder of PEFT."""
    write_peft(_store(arguments), arguments.version, Path(arguments.output), arguments.base_model)
    print(f"{arguments.output}: for PeftModel.from_pretrained(model, {arguments.output!r})")
    return 0


def keygen(arguments: argparse.Namespace) -> int:
    """Makes a key pair."""
    private, public = Path(f"{arguments.name}.key"), Path(f"{arguments.name}.pub")
    key = make_keys(private, public)
    print(f"key {key.fingerprint[:12]}: {private} signs and stays here, {public} goes to the robots")
    return 0


def sign(arguments: argparse.Namespace) -> int:
    """Signs adapters that are there, and their calibrations."""
    store, key = _store(arguments), read_signing_key(arguments.key)
    for version in arguments.versions:
        signed = [policy_name(version)] if version else []
        if version:
            store.sign(version, key)
        if sign_calibration(store, version, key):
            signed.append(f"the calibration of {policy_name(version)}")
        if not signed:
            raise AdapterError(f"{store.path}: the base policy has no calibration to sign")
        for what in signed:
            print(f"{what} is signed by key {key.fingerprint[:12]}")
    return 0


def _trial_facts(store: AdapterStore, version: int) -> dict[str, Any] | None:
    """How an adapter proved itself; None without a trial."""
    trial = store.trial(version)
    if trial is None:
        return None
    own, other = trial.counts(version), trial.counts(trial.serving)
    return {
        "stage": str(trial.stage),
        "beside": policy_name(trial.serving),
        "unaided_successes": f"{own[0]} of {sum(own)}",
        "unaided_successes_beside": f"{other[0]} of {sum(other)}",
        "void_episodes": sum(episode.outcome is TrialOutcome.VOID for episode in trial.episodes),
        "takeovers_in_a_row": trial.takeovers_in_a_row,
        "log_e_better": trial.evidence.better,
        "log_e_worse": trial.evidence.worse,
        "log_e_needed": -math.log(trial.limits.trial_alpha),
        "shadow": asdict(trial.shadow),
        "decided_utc": trial.decided_utc,
        "reason": trial.reason,
    }


def _calibration_facts(store: AdapterStore, version: int) -> dict[str, Any] | None:
    """When an adapter asks for help; None without a calibration."""
    content = read_content(store.path, version)
    if content is None:
        return None
    try:
        calibration = check_content(store, version, content)
        signer = document_signer(parse_json(content, "it"))
    except AdapterError as error:
        return {"fault": str(error)}
    return {
        "created_utc": calibration.created_utc,
        "signer": signer,
        "replan_steps": calibration.replan_steps,
        "action_horizon": calibration.action_horizon,
        "threshold": calibration.score.threshold,
        "false_alarms": calibration.false_alarms,
    }


def _store(arguments: argparse.Namespace) -> AdapterStore:
    trusted, key = getattr(arguments, "public_key", ""), getattr(arguments, "key", "")
    store = AdapterStore(
        arguments.store, read_trusted_keys(trusted) if trusted else None, read_signing_key(key) if key else None
    )
    if not store.path.is_dir():
        raise AdapterError(f"{store.path}: there is no adapter store (--store names its folder)")
    return store


def _print_promotion(promotion: Promotion) -> None:
    served, change = policy_name(promotion.number), promotion.sequence
    print(f"{served} is promoted (change {change}); policy nodes follow, unless their promotion is manual")


def _print(data: Any) -> None:
    print(data if isinstance(data, str) else json.dumps(data, indent=2))
