"""Statistics of the training data that a checkpoint carries: action ranges for its bins, state means and deviations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from apo_core.errors import CheckpointError, ObservationError
from apo_vla.actions.codec import ActionCodec

_SMALLEST_STD = 1e-3  # SI units of the state; keeps a constant part from being blown up
_LARGEST_STATE = 5.0  # standard deviations; a robot far from its data stays in the range of the training


@dataclass(frozen=True)
class DatasetStatistics:
    """What normalises actions and state; A action dimensions, n numbers of state."""

    action_q01: tuple[float, ...]  # (A,) contract units
    action_q99: tuple[float, ...]
    action_mean: tuple[float, ...]
    action_std: tuple[float, ...]
    action_mask: tuple[bool, ...]  # False: not normalised
    state_mean: Mapping[str, tuple[float, ...]]  # {state key: (n_key,)} SI units, in the order the model takes them
    state_std: Mapping[str, tuple[float, ...]]
    num_frames: int
    contract_sha256: str

    converts_units: ClassVar[bool] = False

    def codec(self, bins: int = 256) -> ActionCodec:
        """The action codec of these statistics."""
        return ActionCodec(self.action_q01, self.action_q99, self.action_mask, bins)

    @property
    def state_size(self) -> int:
        """Numbers of state, n."""
        return sum(len(mean) for mean in self.state_mean.values())

    def normalise_state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """{key: (n_key,)} -> float32 (n,), in standard deviations, clipped to +-5.

        Raises:
            ObservationError: a key is missing, has another size, or is not finite.
        """
        parts = []
        for key, mean in self.state_mean.items():
            value = state.get(key)
            if value is None or np.shape(value) != (len(mean),):
                shape = None if value is None else np.shape(value)
                raise ObservationError(f"state '{key}' has shape {shape}, the policy was trained with ({len(mean)},)")
            std = np.maximum(self.state_std[key], _SMALLEST_STD)
            parts.append((np.asarray(value, dtype=np.float64) - mean) / std)
        joined = np.concatenate(parts)
        if not np.isfinite(joined).all():
            raise ObservationError(
                f"state is not finite: { {key: np.asarray(state[key]).tolist() for key in self.state_mean} }"
            )
        return np.clip(joined, -_LARGEST_STATE, _LARGEST_STATE).astype(np.float32)

    def to_json(self) -> str:
        """The content of dataset_statistics.json."""
        return json.dumps(
            {
                "contract_sha256": self.contract_sha256,
                "num_frames": self.num_frames,
                "action": {
                    "q01": list(self.action_q01),
                    "q99": list(self.action_q99),
                    "mean": list(self.action_mean),
                    "std": list(self.action_std),
                    "mask": list(self.action_mask),
                },
                "state": {
                    key: {"mean": list(mean), "std": list(self.state_std[key])} for key, mean in self.state_mean.items()
                },
            },
            indent=2,
        )


def compute_statistics(
    actions: np.ndarray, states: Mapping[str, np.ndarray], mask: Sequence[bool], contract_sha256: str
) -> DatasetStatistics:
    """Statistics of N frames.

    Args:
        actions: (N, A) contract units, the actions to be imitated.
        states: {key: (N, n_key)} SI units, in the order the model takes them.
        mask: (A,) which dimensions are normalised.
        contract_sha256: contract of the data.

    Raises:
        ValueError: no frames, or lengths that differ.
    """
    if len(actions) == 0 or any(len(values) != len(actions) for values in states.values()):
        raise ValueError(
            f"{len(actions)} actions and {[len(v) for v in states.values()]} states: must be equal, above 0"
        )

    def numbers(values: np.ndarray) -> tuple[float, ...]:
        return tuple(float(v) for v in values)

    actions = np.asarray(actions, dtype=np.float64)
    return DatasetStatistics(
        action_q01=numbers(np.quantile(actions, 0.01, axis=0)),
        action_q99=numbers(np.quantile(actions, 0.99, axis=0)),
        action_mean=numbers(actions.mean(axis=0)),
        action_std=numbers(actions.std(axis=0)),
        action_mask=tuple(bool(v) for v in mask),
        state_mean={key: numbers(np.mean(values, axis=0, dtype=np.float64)) for key, values in states.items()},
        state_std={key: numbers(np.std(values, axis=0, dtype=np.float64)) for key, values in states.items()},
        num_frames=len(actions),
        contract_sha256=contract_sha256,
    )


def read_statistics(path: Path) -> DatasetStatistics:
    """Reads dataset_statistics.json.

    Raises:
        CheckpointError: unreadable or incomplete.
    """
    try:
        data = json.loads(Path(path).read_text())
        action = data["action"]
        return DatasetStatistics(
            action_q01=tuple(action["q01"]),
            action_q99=tuple(action["q99"]),
            action_mean=tuple(action["mean"]),
            action_std=tuple(action["std"]),
            action_mask=tuple(action["mask"]),
            state_mean={key: tuple(part["mean"]) for key, part in data["state"].items()},
            state_std={key: tuple(part["std"]) for key, part in data["state"].items()},
            num_frames=data["num_frames"],
            contract_sha256=data["contract_sha256"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
