"""Statistics in LeRobot's layout: the normalizer step of policy_preprocessor.json and its safetensors file.

A data set's meta/stats.json takes their place where a checkpoint brings none for its robot. Without statistics LeRobot
leaves numbers as they are, without a word; here that is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from apo_core.actions import GRIPPER, SIZE
from apo_core.contract.action_range import DataRange
from apo_core.errors import CheckpointError, ConfigError, ObservationError
from apo_vla.actions.codec import ActionCodec
from apo_vla.checkpoints.deployment import DEPLOYMENT
from apo_vla.inputs.state_parts import state_part
from apo_vla.lerobot.deployment import LeRobotDeployment

PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor.json", "policy_postprocessor.json"
_STEP, _REVERSE = "normalizer_processor", "unnormalizer_processor"
_RANGES = {"QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90"), "MIN_MAX": ("min", "max")}
_TINY = 1e-8  # LeRobot's eps
_NO_BINS = "a checkpoint in LeRobot's layout has no bins"
_NOT_CONVERTING = ("contract_sha256", "action_spread")
_LARGEST = 10.0  # half ranges or deviations; what an operator did beyond them is learned as this far


class _NoBins(ActionCodec):
    """Normalised actions of a policy without bins; use as one that has bins is an error."""

    one_token_a_value = False

    def __init__(self, *ranges: Any, spread: tuple[tuple[float, ...], tuple[float, ...]]):
        super().__init__(*ranges)
        self._spread = spread
        self.classes = np.tile(np.arange(self.bins), (self.size, 1))  # a FAST token is an action of its own

    @property
    def data_range(self) -> DataRange:
        """What nearly all actions lie in, contract units."""
        ends = np.stack([np.asarray(end, np.float64) for end in self._spread]) * self.scale + self.offset
        return DataRange(ends.min(axis=0), ends.max(axis=0))

    def encode(self, actions: np.ndarray) -> np.ndarray:
        raise ConfigError("checkpoint", [_NO_BINS])

    def centres(self, bins: np.ndarray) -> np.ndarray:
        raise ConfigError("checkpoint", [_NO_BINS])


@dataclass(frozen=True)
class LeRobotStatistics:
    """See `apo_vla.model.Statistics`; -1 and 1 are the ends of the range, or the mean -+ one deviation."""

    action_low: tuple[float, ...]  # data units
    action_high: tuple[float, ...]
    state_low: tuple[float, ...]
    state_high: tuple[float, ...]
    state: tuple[str, ...]  # parts of the state, "key" or "key:form"
    action_scale: tuple[float, ...]
    action_offset: tuple[float, ...]
    contract_sha256: str
    action_spread: tuple[tuple[float, ...], ...] = ()  # what nearly all actions lie in; empty: the range
    converts_units: ClassVar[bool] = True

    @property
    def sha256(self) -> str:
        """Hash of everything that converts numbers of the model to numbers of the robot, and back."""
        facts = {name: value for name, value in vars(self).items() if name not in _NOT_CONVERTING}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def codec(self, bins: int = 256) -> ActionCodec:
        """The codec between normalised actions and contract units. Its bins raise ConfigError."""
        mask = [True] * len(self.action_low)
        scale, offset = self.action_scale or None, self.action_offset or None
        low, high = self.action_spread or (self.action_low, self.action_high)
        ranges = self.action_low, self.action_high, mask, bins, scale, offset, _LARGEST
        return _NoBins(*ranges, spread=(low, high))

    def normalise_state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Contract state -> float32 (n,).

        Raises:
            ObservationError: a key is missing, of another size, or not finite.
        """
        values = np.concatenate([state_part(state, part) for part in self.state])
        low, high = np.asarray(self.state_low), np.asarray(self.state_high)
        if values.shape != low.shape or not np.isfinite(values).all():
            raise ObservationError(
                f"state {list(self.state)} is {values.tolist()}, must be {len(low)} finite numbers ({DEPLOYMENT})"
            )
        width = np.where(high == low, _TINY, high - low)
        return (2 * (values - low) / width - 1).astype(np.float32)


def read_lerobot_statistics(folder: Path, deployment: LeRobotDeployment, widening: float = 0.0) -> LeRobotStatistics:
    """Reads the normalizer of a LeRobot checkpoint, or the statistics that the deployment names in its place.

    Args:
        folder: of the checkpoint.
        deployment: with the conversion of units.
        widening: added to the width of every range, and to a deviation.

    Raises:
        CheckpointError: unreadable, without statistics of action and state, or of another length than the deployment.
    """
    path = Path(folder) / PREPROCESSOR
    modes, tensors = _normalizer(path, _STEP, with_tensors=not deployment.statistics)
    source = path
    if not deployment.statistics:
        _check_postprocessor(path.parent / POSTPROCESSOR, modes, tensors)
    else:
        source = path.parent / deployment.statistics
        tensors = _data_set_statistics(source)
    action = _range(tensors, "action", modes.get("ACTION"), source, widening)
    state = _range(tensors, "observation.state", modes.get("STATE"), source, widening)
    for name in ("action_scale", "action_offset"):
        values = getattr(deployment, name)
        if values and len(values) != len(action[0]):
            raise CheckpointError(f"{source}: has {len(action[0])} actions, {name} ({DEPLOYMENT}) {len(values)}")
    if not deployment.state:
        raise CheckpointError(
            f"{path.parent / DEPLOYMENT}: state must list what makes the {len(state[0])} numbers of state"
        )
    return LeRobotStatistics(
        *action,
        *state,
        deployment.state,
        deployment.action_scale,
        deployment.action_offset,
        deployment.contract_sha256,
        _spread(tensors, action) if modes.get("ACTION") == "MEAN_STD" else (),
    )


def _spread(
    tensors: Mapping[str, np.ndarray], deviation: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[tuple[float, ...], ...]:
    """What nearly all actions lie in: their quantiles, else three deviations within the ends of the data."""
    low, high = (np.array(end) for end in deviation)

    def known(*names: str) -> list[np.ndarray]:
        found = [tensors[f"action.{name}"].astype(np.float64).ravel() for name in names if f"action.{name}" in tensors]
        return [values for values in found if values.shape == low.shape and np.isfinite(values).all()]

    if len(quantiles := known("q01", "q99")) == 2:
        low, high = quantiles
    elif len(ends := known("min", "max")) == 2:
        low, high = np.maximum(2 * low - high, ends[0]), np.minimum(2 * high - low, ends[1])
        # a gripper is mostly at one of its ends
        low[GRIPPER:SIZE], high[GRIPPER:SIZE] = ends[0][GRIPPER:SIZE], ends[1][GRIPPER:SIZE]
    return tuple(low.tolist()), tuple(high.tolist())


def _check_postprocessor(path: Path, modes: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> None:
    """Whether actions are turned back by what turned them: LeRobot keeps the way back in a file of its own."""
    if not path.is_file():
        return
    other_modes, others = _normalizer(path, _REVERSE, with_tensors=True)
    differing = [
        name
        for name in sorted({*tensors, *others})
        if name.startswith("action.")
        and name in tensors
        and name in others
        and not np.allclose(tensors[name], others[name], rtol=1e-5, atol=1e-7, equal_nan=True)
    ]
    if differing or other_modes.get("ACTION") != modes.get("ACTION"):
        what = ", ".join(differing) or f"{other_modes.get('ACTION')!r} of ACTION"
        raise CheckpointError(
            f"{path}: {what} differ from {PREPROCESSOR}: the model's actions would be of one data set, their units of "
            f"another; {DEPLOYMENT}, statistics, names the right ones"
        )


def _normalizer(path: Path, registry_name: str, with_tensors: bool) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    """How each kind of feature is normalised, and the statistics; without tensors none are read."""
    try:
        steps = json.loads(path.read_text())["steps"]
        step = next(s for s in steps if s.get("registry_name") == registry_name)
        modes = step["config"]["norm_map"]
        file = step.get("state_file", "") if with_tensors else ""
        tensors = load_file(path.parent / Path(file).name) if file else {}
    except StopIteration:
        raise CheckpointError(f"{path}: has no step {registry_name!r}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
    if modes.get("VISUAL", "IDENTITY") != "IDENTITY":
        raise CheckpointError(f"{path}: normalisation of VISUAL is {modes['VISUAL']!r}, must be IDENTITY")
    return modes, tensors


def _data_set_statistics(path: Path) -> dict[str, np.ndarray]:
    """Statistics of a LeRobot data set, by the names of the normalizer's tensors."""
    try:
        features = json.loads(path.read_text())
        return {
            f"{key}.{name}": np.asarray(values, np.float32)
            for key in ("action", "observation.state")
            for name, values in features[key].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None


def _range(
    tensors: Mapping[str, np.ndarray], key: str, mode: str | None, path: Path, widening: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What maps to -1 and to 1."""
    names = ("mean", "std") if mode == "MEAN_STD" else _RANGES.get(str(mode))
    if names is None:
        known = ", ".join(("MEAN_STD", *_RANGES))
        raise CheckpointError(f"{path}: normalisation of {key} is {mode!r}, must be one of {known}")
    missing = [f"{key}.{name}" for name in names if f"{key}.{name}" not in tensors]
    if missing:
        raise CheckpointError(
            f"{path}: statistics {missing} are missing; there are: {', '.join(sorted(tensors)) or 'none'}. Without "
            f"them the model's numbers would pass as the robot's: {DEPLOYMENT}, statistics, takes meta/stats.json of a "
            "LeRobot data set of this robot"
        )
    first, second = (tensors[f"{key}.{name}"].astype(np.float64).ravel() for name in names)
    low, high = (first - second, first + second) if mode == "MEAN_STD" else (first, second)
    if low.shape != high.shape or not np.isfinite([*low, *high]).all() or (low > high).any():
        raise CheckpointError(f"{path}: {key} {low.tolist()}..{high.tolist()} must be finite, low below high")
    if widening and mode == "MEAN_STD":
        low = low - widening
    return tuple(low.tolist()), tuple((high + widening).tolist())
