"""The trackers of a run by their names in config/trainer.yaml.

TensorBoard's files belong to the run's folder, so a fault there ends the run, as one of metrics.jsonl does; the other
trackers have a thread of their own, and end and delay nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from apo_core.config.parameters import parameter_values
from apo_trainer.config import TrainerConfig
from apo_trainer.runs.tensorboard import TensorboardLog
from apo_trainer.runs.tracking.background import BackgroundTracker
from apo_trainer.runs.tracking.mlflow_tracker import MlflowTracker
from apo_trainer.runs.tracking.tracker import Note, TrackedRun, Tracker
from apo_trainer.runs.tracking.wandb_tracker import WandbTracker


class Trackers:
    """All trackers of a run as one. A context manager.

    Args:
        trackers: each takes every call.
    """

    def __init__(self, trackers: Sequence[Tracker]):
        self._trackers = tuple(trackers)

    def step(self, metrics: Mapping[str, Any], samples: Mapping[str, Sequence[float]]) -> None:
        """See Tracker. Raises OSError of TensorBoard's file."""
        for tracker in self._trackers:
            tracker.step(metrics, samples)

    def adapter(self, step: int, tensors: Mapping[str, np.ndarray]) -> None:
        """See Tracker. Raises OSError of TensorBoard's file."""
        for tracker in self._trackers:
            tracker.adapter(step, tensors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        with contextlib.ExitStack() as stack:
            for tracker in self._trackers:
                stack.callback(tracker.close, kind is None)


def open_trackers(config: TrainerConfig, run_id: str, folder: Path, first_step: int, note: Note) -> Trackers:
    """Starts the trackers of `config`.

    Args:
        config: of the training.
        run_id: its name.
        folder: of its files.
        first_step: steps done before.
        note: takes what a tracker failed at; called on another thread.

    Raises:
        OSError: TensorBoard's file cannot be written.
    """
    run = TrackedRun(run_id, folder, first_step, parameter_values(config))
    return Trackers([_open(name, config, run, note) for name in config.trackers])


def _open(name: str, config: TrainerConfig, run: TrackedRun, note: Note) -> Tracker:
    if name == "tensorboard":
        return TensorboardLog(run.folder, run.first_step)
    start: Mapping[str, Callable[[], Tracker]] = {
        "mlflow": lambda: MlflowTracker(run, config.mlflow_uri, config.tracker_project),
        "wandb": lambda: WandbTracker(run, config.tracker_project, config.wandb_mode),
    }
    return BackgroundTracker(name, start[name], note)
