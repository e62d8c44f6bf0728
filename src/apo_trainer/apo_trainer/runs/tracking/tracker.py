"""What a tracker takes of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Note = Callable[[str], None]  # takes a line for people


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The run that is tracked."""

    run_id: str
    folder: Path  # of its files
    first_step: int  # steps done before; above 0 it goes on
    parameters: Mapping[str, Any]


class Tracker(Protocol):
    """Takes the curves of a run, in the order of its steps."""

    def step(self, metrics: Mapping[str, Any], samples: Mapping[str, Sequence[float]]) -> None:
        """Takes an optimizer step.

        Args:
            metrics: {name: number, or {class: number or None}}, with `step` from 1.
            samples: {name: a value a row of the batch}.
        """

    def adapter(self, step: int, tensors: Mapping[str, np.ndarray]) -> None:
        """Takes the adapter after the last step."""

    def close(self, succeeded: bool) -> None:
        """Ends it; no more steps come, of this process."""


def scalars(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Name and value of every number but the step; `name/class` for those by class."""
    for name, value in metrics.items():
        if name == "step":
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name}/{part}", number) for part, number in value.items() if number is not None)
        elif value is not None:
            yield name, value


def adapter_parts(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All numbers of the A matrices (n,) and of the B matrices (m,) of an adapter."""
    groups = {part: [value for name, value in tensors.items() if f".lora_{part}." in name] for part in ("A", "B")}
    return {f"lora_{part}": np.concatenate([v.ravel() for v in values]) for part, values in groups.items() if values}
