"""What is in a checkpoint folder, and a dry run that shows whether it looks at its image and its prompt."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from apo_core.errors import CheckpointError, DecodeError
from apo_vla.checkpoints.deployment import DEPLOYMENT, Deployment, read_deployment
from apo_vla.families.openvla.oft import OpenVlaOft
from apo_vla.families.openvla.statistics import read_norm_stats
from apo_vla.families.pi0_fast.checkpoint import camera_notes
from apo_vla.loading import CONFIG, FAMILY, load_checkpoint, read_family
from apo_vla.policy import Prepared, VlaPolicy

_STAND_IN_CAMERA = "camera"
_HEADS = {
    True: "continuous action head (action_head--*_checkpoint.pt)",
    False: "no action_head--*_checkpoint.pt: served with a discrete head; one trained with L1 needs its file",
}
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
    """What a policy says to two images and two prompts."""

    instruction: str
    actions: list[list[list[float]]]  # of each image, (chunk, A), contract units; empty where there is a fault
    faults: list[str]  # why what it said is no action
    seconds: float  # of a prediction, the fastest of three
    image_matters: bool
    prompt_matters: bool | None  # None: not tried, the second prompt has words the model does not know


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
    published = family != FAMILY
    deployment, notes = _deployment(folder, family) if published else (None, [])
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
    if published and isinstance(model, OpenVlaOft):
        # without its file, a continuous head cannot be told from a discrete one
        notes = [*notes, _HEADS[model.action_head is not None]]
    if fault := getattr(model, "decoder_fault", ""):
        notes = [*notes, f"not served by the fast decoder (docs/how-to/serving.md): {fault}"]
    if family == "pi0_fast":
        notes = [*notes, *camera_notes(config.cameras, json.loads((folder / CONFIG).read_text()))]
    parts: dict[str, int] = {}
    for name, value in model.named_parameters():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + value.numel()
    total = sum(parts.values())
    keys = sorted(_keys(folder)) if family == "openvla" else []
    found = Inspection(
        folder=str(folder),
        family=family,
        architecture=type(model).__name__,
        parameters=parts,
        file_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        memory_bytes={"bfloat16": 2 * total, "float32": 4 * total},
        statistics=keys,
        chosen_statistics=getattr(checkpoint.statistics, "key", ""),
        chunk=config.chunk,
        period_s=config.period_ns / 1e9,
        action_size=config.action_size,
        cameras=list(config.cameras),
        state=list(deployment.state) if deployment else list(config.state_keys),
        base_sha256=checkpoint.base_sha256,
        contract_sha256=checkpoint.statistics.contract_sha256,
        notes=notes,
    )
    return found, policy


def dry_run(policy: VlaPolicy, instruction: str, other: str = "open the top drawer") -> DryRun:
    """Predicts for two images and two prompts, with a state of zeros.

    Raises:
        ObservationError: the instruction is refused.
    """
    first, second = _images(policy.config.cameras)
    state = np.zeros(policy.state_size, np.float32)

    def ready(views, text: str) -> Prepared:
        parts = policy.processor.images(views, None), state, policy.processor.prompt(text, state)
        return Prepared(*(torch.from_numpy(part)[None].to(policy.device) for part in parts))

    batches = [ready(first, instruction), ready(second, instruction), ready(first, other)]
    said = [policy.generate(batch) for batch in batches]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        policy.generate(batches[0])
        seconds.append(time.perf_counter() - begin)
    actions, faults = [], []
    for tokens, _ in said[:2]:
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
        image_matters=_differ(said[0], said[1]),
        prompt_matters=None if same_prompt else _differ(said[0], said[2]),
    )


def as_json(found: Inspection, run: DryRun | None) -> str:
    """Both as one JSON object."""
    return json.dumps({**dataclasses.asdict(found), "dry_run": run and dataclasses.asdict(run)}, indent=2)


def _deployment(folder: Path, family: str) -> tuple[Deployment, list[str]]:
    if (folder / DEPLOYMENT).exists():
        return read_deployment(folder), []
    if family != "openvla":
        raise CheckpointError(f"{folder / DEPLOYMENT} is missing; docs/how-to/checkpoints.md shows one for {family}")
    keys = sorted(_keys(folder))
    note = f"no {DEPLOYMENT}: one camera, chunk 1 and the first statistics stand in; `apo policy bind` writes one"
    return Deployment(cameras=(_STAND_IN_CAMERA,), statistics_key=keys[0]), [note]


def _keys(folder: Path) -> list[str]:
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: cannot be read ({error})") from None
    return list(read_norm_stats(folder, config))


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
