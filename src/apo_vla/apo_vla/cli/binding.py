"""Writes deployment.yaml: binds a published checkpoint to the robot of a contract file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apo_core.actions import GRIPPER
from apo_core.config.parameters import build
from apo_core.contract.action_range import RangeFaults, compare_ranges
from apo_core.contract.contract import Contract, load_contract
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.checkpoints.deployment import DEPLOYMENT, Deployment, foreign_faults
from apo_vla.checkpoints.osc_pose import osc_hint
from apo_vla.loading import foreign_parameters, read_family

_HEADER = """\
# Which robot this checkpoint drives. Every number that the model predicts or reads is converted by these parameters:
# check action_scale and action_offset against the units of the data that it was trained on.
"""


def bind(folder: Path, robot: Path, choices: Mapping[str, Any], force: bool = False) -> tuple[Path, RangeFaults]:
    """Writes deployment.yaml into a checkpoint folder; returns its path, and in which dimensions units seem wrong.

    Without a choice of their scale, actions of the data are taken to be displacements a step (m, rad) and a gripper of
    1 open, 0 closed, as in most of Open X-Embodiment; the contract's are velocities and -1 open, 1 closed.

    Args:
        folder: of the checkpoint.
        robot: contract file.
        choices: {parameter: value} of the family's deployment, as YAML has it; without `cameras`, or with none: the
            first of the contract. The hash is always the contract's.
        force: replaces a file that is there.

    Raises:
        CheckpointError: no checkpoint, a file that is there already, an unknown statistics key, or a folder whose files
            do not fit each other.
        ConfigError: the contract or a choice is wrong; every fault.
    """
    folder = Path(folder)
    family = read_family(folder)
    if family.deployment is None:
        raise CheckpointError(f"{folder}: a {family.name} is bound to its robot when it is made (`apo base-policy`)")
    path = folder / DEPLOYMENT
    if path.exists() and not force:
        raise CheckpointError(f"{path} is there already; --force replaces it")
    contract = load_contract(robot)
    dimensions = range(contract.action.size)
    values = {
        "period_s": contract.period_ns / 1e9,
        "action_scale": tuple(-2.0 if dimension == GRIPPER else contract.rate_hz for dimension in dimensions),
        "action_offset": tuple(1.0 if dimension == GRIPPER else 0.0 for dimension in dimensions),
        **family.proposals(folder, choices, contract.rate_hz),
        **choices,
        "cameras": choices.get("cameras") or contract.image_names[:1],
        "contract_sha256": contract.sha256,
    }
    foreign = foreign_parameters(family)
    own = {name: value for name, value in values.items() if name not in foreign}
    deployment = build(family.deployment, own, str(path))
    _check_names(deployment, contract)
    faults = foreign_faults(values, foreign, family.title) + family.binding_faults(folder, deployment, choices)
    if faults:
        raise ConfigError(str(path), faults)
    deployment = family.bind(folder, deployment, contract)
    try:
        path.write_text(_HEADER + _text(deployment))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from None
    data = family.data_range(folder, deployment)
    if data is None:
        return path, RangeFaults((), ())
    found = compare_ranges(data, contract.action)
    hint = osc_hint(data, deployment.action_scale, deployment.action_offset, contract.rate_hz) if found.beyond else ""
    return path, dataclasses.replace(found, beyond=(*found.beyond, *filter(None, [hint])))


def _check_names(deployment: Deployment, contract: Contract) -> None:
    faults = [
        f"camera {name!r} is not in the contract; known: {', '.join(contract.image_names)}"
        for name in deployment.cameras
        if name not in contract.image_names
    ]
    faults += [
        f"state {part!r} is not in the contract; known: {', '.join(contract.state_names)}"
        for part in deployment.state
        if part.partition(":")[0] not in contract.state_names
    ]
    if faults:
        raise ConfigError(contract.source, faults)


def _text(deployment: Deployment) -> str:
    """YAML with the description of every parameter above it."""
    lines = []
    for spec in dataclasses.fields(deployment):
        value = getattr(deployment, spec.name)
        value = list(value) if isinstance(value, tuple) else value
        written = json.dumps(value, ensure_ascii=False)  # JSON is YAML, on one line
        choices = spec.metadata.get("choices")
        known = f" ({', '.join(choices)})" if choices else ""
        lines += [f"# {spec.metadata['description']}{known}", f"{spec.name}: {written}"]
    return "\n".join(lines) + "\n"
