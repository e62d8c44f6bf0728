"""Statistics that published checkpoints carry: norm_stats of config.json, or dataset_statistics.json of a fine-tune."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from apo_core.errors import CheckpointError, ObservationError
from apo_vla.actions.codec import ActionCodec
from apo_vla.checkpoints.deployment import DEPLOYMENT
from apo_vla.checkpoints.types import STATISTICS
from apo_vla.families.openvla.deployment import OpenVlaDeployment
from apo_vla.inputs.state_parts import state_part

_RANGES = {"q99": ("q01", "q99"), "bounds": ("min", "max")}
_TINY = 1e-8  # of OpenVLA-OFT's normalisation; keeps a constant dimension finite


@dataclass(frozen=True)
class Range:
    """What maps to -1 and 1; (n,) each."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mask: tuple[bool, ...]  # False: passes through


@dataclass(frozen=True)
class PublishedStatistics:
    """See `apo_vla.model.Statistics`. Units of `action` and `proprio` are those of the training data."""

    key: str
    action: Range
    proprio: Range | None
    state: tuple[str, ...]  # parts of the proprioception, "key" or "key:form"
    action_scale: tuple[float, ...]
    action_offset: tuple[float, ...]
    contract_sha256: str
    converts_units: ClassVar[bool] = True

    @property
    def sha256(self) -> str:
        """Hash of everything that converts numbers of the model to numbers of the robot, and back."""
        proprio = self.proprio and vars(self.proprio)
        units = self.action_scale, self.action_offset
        text = json.dumps([self.key, vars(self.action), proprio, self.state, units])
        return hashlib.sha256(text.encode()).hexdigest()

    def codec(self, bins: int = 256) -> ActionCodec:
        """Actions in contract units <-> bins."""
        action, scale, offset = self.action, self.action_scale or None, self.action_offset or None
        return ActionCodec(action.low, action.high, action.mask, bins, scale, offset)

    def normalise_state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Contract state -> float32 (n,) in -1..1, n = 0 without proprioception.

        Raises:
            ObservationError: a key is missing, of another size, or not finite.
        """
        if self.proprio is None:
            return np.zeros(0, np.float32)
        values = np.concatenate([state_part(state, part) for part in self.state])
        low, high, mask = (np.asarray(v) for v in (self.proprio.low, self.proprio.high, self.proprio.mask))
        if values.shape != low.shape or not np.isfinite(values).all():
            raise ObservationError(
                f"proprioception of {list(self.state)} is {values.tolist()}, must be {len(low)} finite numbers "
                f"({DEPLOYMENT}: state)"
            )
        scaled = np.where(mask, 2 * (values - low) / (high - low + _TINY) - 1, values)
        return np.clip(scaled, -1, 1).astype(np.float32)


def read_norm_stats(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """{key: statistics} of a checkpoint: dataset_statistics.json, else norm_stats of its config.json.

    Raises:
        CheckpointError: neither is there, or unreadable.
    """
    path = Path(folder) / STATISTICS
    if path.is_file():
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
    else:
        found = config.get("norm_stats")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{folder}: neither {STATISTICS} nor norm_stats in config.json holds statistics")
    return found


def select(
    norm_stats: Mapping[str, Any], deployment: OpenVlaDeployment, proprio: bool, source: str
) -> PublishedStatistics:
    """The statistics that a deployment names.

    Args:
        norm_stats: of `read_norm_stats`.
        deployment: of the checkpoint.
        proprio: whether the model reads proprioception.
        source: folder, for messages.

    Raises:
        CheckpointError: an unknown key, with those that there are, or incomplete statistics.
    """
    keys = sorted(norm_stats)
    key = deployment.statistics_key or (keys[0] if len(keys) == 1 else "")
    if key not in norm_stats:
        raise CheckpointError(
            f"{source}: statistics_key = {deployment.statistics_key!r} ({DEPLOYMENT}) must be one of: {', '.join(keys)}"
        )
    where = f"{source}: statistics {key!r}"
    action = _range(norm_stats[key], "action", deployment.normalisation, where)
    for name in ("action_scale", "action_offset"):
        values = getattr(deployment, name)
        if values and len(values) != len(action.low):
            raise CheckpointError(f"{where} have {len(action.low)} actions, {name} ({DEPLOYMENT}) {len(values)}")
    return PublishedStatistics(
        key=key,
        action=action,
        proprio=_range(norm_stats[key], "proprio", deployment.normalisation, where) if proprio else None,
        state=deployment.state,
        action_scale=deployment.action_scale,
        action_offset=deployment.action_offset,
        contract_sha256=deployment.contract_sha256,
    )


def _range(statistics: Any, part: str, normalisation: str, where: str) -> Range:
    low_name, high_name = _RANGES[normalisation]
    try:
        found = statistics[part]
        low, high = ([float(v) for v in found[name]] for name in (low_name, high_name))
        mask = [bool(v) for v in found.get("mask", [True] * len(low))]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{where} lack {part}.{low_name} and .{high_name} ({error!r})") from None
    if not len(low) == len(high) == len(mask) or not np.isfinite([*low, *high]).all() or np.greater(low, high).any():
        raise CheckpointError(
            f"{where}: {part}.{low_name} = {low}, .{high_name} = {high}, mask = {mask} must be finite, of one length, "
            "low below high"
        )
    return Range(tuple(low), tuple(high), tuple(mask))
