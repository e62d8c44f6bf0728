"""Curves and histograms of a run for TensorBoard (`tensorboard --logdir <run folder>`).

Written by tensorboardX without its own thread, which would leave a run waiting for ever on a full disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

from apo_trainer.runs.tracking.tracker import adapter_parts, scalars

_MAX_VALUES = 200_000  # of a histogram; of more, every n-th is taken


class TensorboardLog:
    """An event file in the folder of a run. A context manager.

    Args:
        folder: of the run.
        step: steps done before; later ones in earlier files are not shown.
        histogram_steps: steps between histograms, 0 for none.

    Raises:
        OSError: the file cannot be written, here and in every method.
    """

    def __init__(self, folder: Path, step: int = 0, histogram_steps: int = 10):
        self._histogram_steps = histogram_steps
        # a name of its own for each start, in the order in which TensorBoard reads them
        self._writer = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}.apo"))
        self._write(Event(file_version="brain.Event:2"))
        if step:
            self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def step(self, metrics: Mapping[str, Any], samples: Mapping[str, Sequence[float]]) -> None:
        """Writes the metrics of an optimizer step, and every `histogram_steps` how its samples are spread.

        Args:
            metrics: {name: number, or {class: number or None}}, with `step` from 1.
            samples: {name: a value a row of the batch}.
        """
        step = metrics["step"]
        values = [summary.scalar(name, value) for name, value in scalars(metrics)]
        if self._histogram_steps and (step == 1 or step % self._histogram_steps == 0):
            values += [_histogram(f"samples/{name}", np.asarray(numbers)) for name, numbers in samples.items()]
        self._summaries(step, values)

    def adapter(self, step: int, tensors: Mapping[str, np.ndarray]) -> None:
        """Writes how the numbers of the adapter are spread, those of A and of B."""
        parts = adapter_parts(tensors).items()
        self._summaries(step, [_histogram(f"adapter/{part}", values) for part, values in parts])

    def close(self, succeeded: bool = True) -> None:
        """Closes the file; TensorBoard shows no outcome."""
        self._writer.close()

    def _summaries(self, step: int, values: Iterable[Any]) -> None:
        for value in values:
            self._write(Event(step=step, summary=value))
        self._writer.flush()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _histogram(name: str, values: np.ndarray) -> Any:
    finite = values[np.isfinite(values)]
    if not finite.size:
        finite = np.zeros(1)
    return summary.histogram(name, finite[:: -(-finite.size // _MAX_VALUES)], bins="auto", max_bins=64)
