"""Facts of a checkpoint folder, and a dry run that shows whether image and prompt change the answer."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from apo_core.contract.action_range import compare_ranges
from apo_core.contract.contract import load_contract
from apo_core.errors import CheckpointError, DecodeError
from apo_vla.checkpoints.deployment import DEPLOYMENT, Deployment
from apo_vla.checkpoints.family import Family
from apo_vla.loading import load_checkpoint, read_deployment, read_family
from apo_vla.policy import Prepared, VlaPolicy

_IMAGE_SIDE = 96  # pixels of the dry run's images


@dataclass(frozen=True)
class Inspection:
    """Facts of a checkpoint, JSON-serialisable by `dataclasses.asdict`."""

    folder: str
    family: str
    architecture: str  # class of the model
    parameters: dict[str, int]  # of each part of the model, as kept in memory
    file_bytes: int
    memory_bytes: dict[str, int]  # {precision: bytes of the weights}
    statistics: list[str]  # keys
    chosen_statistics: str
    chunk: int
    period_s: float
    action_size: int
    cameras: list[str]
    state: list[str]
    base_sha256: str
    contract_sha256: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DryRun:
    """A policy's answers to two images and two prompts."""

    instruction: str
    actions: list[list[list[float]]]  # of each image, (chunk, A), contract units; empty where there is a fault
    faults: list[str]  # why an answer is not an action
    seconds: float  # of a prediction, the fastest of three
    image_matters: bool
    prompt_matters: bool | None  # None: not tried, the second prompt has words without a token


def inspect(folder: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> tuple[Inspection, VlaPolicy]:
    """Reads a checkpoint of any family.

    Args:
        folder: of the checkpoint. Without deployment.yaml a stand-in is used, and noted.
        device: torch device.
        dtype: see `load_checkpoint`.

    Raises:
        CheckpointError, ConfigError: see `load_checkpoint`.
    """
    folder = Path(folder)
    family = read_family(folder)
    deployment, notes = _deployment(folder, family)
    try:
        checkpoint = load_checkpoint(folder, device, dtype, deployment)
    except CheckpointError as error:
        raise CheckpointError("; ".join([str(error), *notes])) from None
    policy = VlaPolicy(
        checkpoint.model,
        checkpoint.tokenizer,
        checkpoint.statistics,
        checkpoint.base_sha256,
        checkpoint.statistics_sha256,
        device=device,
    )
    model, config = checkpoint.model, checkpoint.model.config
    facts = family.facts(folder, checkpoint, deployment)
    notes += facts.notes
    notes += family.deployment_notes(checkpoint, deployment)
    if fault := model.capabilities.decoder_fault:
        notes.append(f"not served by the fast decoder (docs/how-to/serving.md): {fault}")
    parts: dict[str, int] = {}
    for name, value in model.named_parameters():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + value.numel()
    total = sum(parts.values())
    found = Inspection(
        folder=str(folder),
        family=family.name,
        architecture=type(model).__name__,
        parameters=parts,
        file_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        memory_bytes={"bfloat16": 2 * total, "float32": 4 * total},
        statistics=list(facts.statistics),
        chosen_statistics=facts.chosen_statistics,
        chunk=config.chunk,
        period_s=config.period_ns / 1e9,
        action_size=config.action_size,
        cameras=list(config.cameras),
        state=list(facts.state),
        base_sha256=checkpoint.base_sha256,
        contract_sha256=checkpoint.statistics.contract_sha256,
        notes=notes,
    )
    return found, policy


def compare_units(found: Inspection, policy: VlaPolicy, robot: Path) -> bool:
    """Notes in which dimensions the units of a published checkpoint seem not to be those of its contract.

    Args:
        found: takes the notes.
        policy: that was inspected.
        robot: contract file; one that is not there or not the checkpoint's is noted.

    Returns:
        Whether one reaches far beyond the contract.

    Raises:
        ConfigError: the contract is wrong.
    """
    if policy.data_range is None or not found.contract_sha256:
        return False
    contract = load_contract(robot) if robot.is_file() else None
    if contract is None or found.contract_sha256 != contract.sha256:
        found.notes.append(f"bound to another contract than {robot}: units are not compared (--robot FILE)")
        return False
    differ = compare_ranges(policy.data_range, contract.action)
    found.notes.extend(f"units: {line}" for line in (*differ.beyond, *differ.tiny))
    return bool(differ.beyond)


def dry_run(policy: VlaPolicy, instruction: str, other: str = "open the top drawer") -> DryRun:
    """Predicts for two images and two prompts, with a state of zeros.

    Raises:
        ObservationError: the model cannot take the instruction.
    """
    first, second = _images(policy.config.cameras)
    state = np.zeros(policy.state_size, np.float32)

    def ready(views: Mapping[str, np.ndarray], text: str) -> Prepared:
        parts = policy.processor.images(views, None), state, policy.processor.prompt(text, state)
        return Prepared(*(torch.from_numpy(part)[None].to(policy.device) for part in parts))

    batches = [ready(first, instruction), ready(second, instruction), ready(first, other)]
    answers = [policy.generate(batch) for batch in batches]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        policy.generate(batches[0])
        seconds.append(time.perf_counter() - begin)
    actions, faults = [], []
    for tokens, _ in answers[:2]:
        try:
            actions.append(policy.processor.actions(tokens[0]).astype(float).round(5).tolist())
        except DecodeError as error:
            actions.append([])
            faults.append(str(error))
    same_prompt = torch.equal(batches[0].prompt_ids, batches[2].prompt_ids)
    return DryRun(
        instruction=instruction,
        actions=actions,
        faults=faults,
        seconds=min(seconds),
        image_matters=_differ(answers[0], answers[1]),
        prompt_matters=None if same_prompt else _differ(answers[0], answers[2]),
    )


def as_json(found: Inspection, run: DryRun | None) -> str:
    """Both as one JSON object."""
    return json.dumps({**dataclasses.asdict(found), "dry_run": run and dataclasses.asdict(run)}, indent=2)


def _deployment(folder: Path, family: Family) -> tuple[Deployment | None, list[str]]:
    """What is deployed, or a stand-in with a note."""
    if family.deployment is None or (folder / DEPLOYMENT).exists():
        return read_deployment(folder, family), []
    deployment, note = family.stand_in(folder)
    return deployment, [note]


def _images(cameras: tuple[str, ...]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two fixed images a camera: a bright square on grey, at the left and at the right."""
    made = []
    for left in (16, 56):
        image = np.full((_IMAGE_SIDE, _IMAGE_SIDE, 3), 96, np.uint8)
        image[32:64, left : left + 24] = (220, 40, 30)
        made.append(dict.fromkeys(cameras, image))
    return made[0], made[1]


def _differ(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> bool:
    return not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
