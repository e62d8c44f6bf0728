"""Writes deployment.yaml: binds a published checkpoint to the robot of a contract file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from apo_core.config.parameters import build
from apo_core.contract.contract import Contract, load_contract
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.checkpoints.deployment import DEPLOYMENT, PI0_FAST_LACKS, Deployment, unused
from apo_vla.families.openvla.checkpoint import read_openvla_folder
from apo_vla.families.openvla.statistics import read_norm_stats, select, state_faults
from apo_vla.families.pi0_fast.checkpoint import camera_faults
from apo_vla.families.pi0_fast.statistics import PREPROCESSOR, read_lerobot_statistics
from apo_vla.loading import CONFIG, FAMILY, read_family

_HEADER = """\
# Which robot this checkpoint drives. Every number that the model says or reads goes through here: check action_scale
# and action_offset against the units of the data that it was trained on.
"""


def bind(
    folder: Path,
    robot: Path,
    cameras: tuple[str, ...],
    state: tuple[str, ...],
    statistics_key: str,
    chunk: int,
    centre_crop: bool,
    force: bool = False,
) -> Path:
    """Writes deployment.yaml into a checkpoint folder and returns its path.

    Actions of the data are taken to be displacements a step (m, rad) and a gripper of 1 open, 0 closed, as in most of
    Open X-Embodiment; the contract's are velocities and -1 open, 1 closed.

    Args:
        folder: of the checkpoint.
        robot: contract file.
        cameras: of the contract, in the model's order; empty: the first of the contract.
        state: parts of the proprioception, see `Deployment.state`.
        statistics_key: which training data's; may be empty where there are only one's.
        chunk: rows predicted from one observation.
        centre_crop: see `Deployment`.
        force: replaces a file that is there.

    Raises:
        CheckpointError: no checkpoint, a file that is there already, an unknown statistics key, or a folder whose files
            do not fit each other.
        ConfigError: the contract or a name in it is wrong; every fault.
    """
    folder = Path(folder)
    family = read_family(folder)
    if family == FAMILY:
        raise CheckpointError(f"{folder}: a {FAMILY} is bound to its robot when it is made (`apo base-policy`)")
    path = folder / DEPLOYMENT
    if path.exists() and not force:
        raise CheckpointError(f"{path} is there already; --force replaces it")
    contract = load_contract(robot)
    values = {
        "contract_sha256": contract.sha256,
        "period_s": contract.period_ns / 1e9,
        "cameras": cameras or contract.image_names[:1],
        "statistics_key": statistics_key,
        "action_scale": (*[contract.rate_hz] * (contract.action.size - 1), -2.0),
        "action_offset": (*[0.0] * (contract.action.size - 1), 1.0),
        "state": state,
        "centre_crop": centre_crop,
        "chunk": chunk,
    }
    deployment = build(Deployment, values, str(path))
    _check_names(deployment, contract)
    if family == "pi0_fast":
        _check_pi0_fast(folder, deployment, contract)
    else:
        deployment = _check_openvla(folder, deployment, contract)
    try:
        path.write_text(_HEADER + _text(deployment))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from None
    return path


def _check_pi0_fast(folder: Path, deployment: Deployment, contract: Contract) -> None:
    # a pi0-FAST checkpoint says itself how long its chunk is
    faults = unused(deployment, (*PI0_FAST_LACKS, "chunk"), "pi0-FAST")
    faults += camera_faults(deployment, json.loads((folder / CONFIG).read_text()))
    if faults:
        raise ConfigError(str(folder / DEPLOYMENT), faults)
    statistics = read_lerobot_statistics(folder, deployment)
    _check_state(folder, deployment, contract, len(statistics.state_low), PREPROCESSOR)


def _check_openvla(folder: Path, deployment: Deployment, contract: Contract) -> Deployment:
    norm_stats = read_norm_stats(folder, json.loads((folder / CONFIG).read_text()))
    chosen = select(norm_stats, deployment, False, str(folder))
    deployment = dataclasses.replace(deployment, statistics_key=chosen.key)
    found = read_openvla_folder(folder, deployment)
    if found.projector is not None:
        _check_state(folder, deployment, contract, found.model_config.state_size, found.projector.path.name)
    return deployment


def _check_state(folder: Path, deployment: Deployment, contract: Contract, wanted: int, reader: str) -> None:
    sizes = {spec.name: spec.size for spec in contract.state}
    faults = state_faults(deployment.state, sizes, wanted, reader)
    if faults:
        raise ConfigError(str(folder / DEPLOYMENT), faults)


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
