"""Curves of a run for MLflow: a server, a folder or a database. Needs mlflow-skinny (requirements/track.in)."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apo_trainer.runs.tracking.tracker import TrackedRun, adapter_parts, scalars

_PARAMETERS = 100  # that MLflow takes at a time
_MAX_TEXT = 500  # of a parameter


class MlflowTracker:
    """One run of an MLflow experiment; every start of a resumed run is one, with the same tag `apo.run`.

    Args:
        run: that is tracked.
        uri: of the tracking server, folder or database; empty: MLFLOW_TRACKING_URI, else the folder `mlflow` beside the
            runs' folders.
        experiment: its name; made when missing.

    Raises:
        Exception: of the client, here and in every method.
    """

    def __init__(self, run: TrackedRun, uri: str, experiment: str):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing goes to others than the named server
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for it before it writes to a folder
        entities = importlib.import_module("mlflow.entities")
        # the client, not the module's functions: those end their run at exit, and wait for the server
        client = importlib.import_module("mlflow").MlflowClient
        folder = (run.folder.parent / "mlflow").resolve().as_uri()
        self._client = client(tracking_uri=uri or os.environ.get("MLFLOW_TRACKING_URI") or folder)
        self._metric = entities.Metric
        found = self._client.get_experiment_by_name(experiment)
        number = self._client.create_experiment(experiment) if found is None else found.experiment_id
        tags = {"apo.run": run.run_id, "apo.first_step": str(run.first_step), "apo.folder": str(run.folder)}
        self._run_id = self._client.create_run(number, tags=tags, run_name=run.run_id).info.run_id
        parameters = [entities.Param(name, str(value)[:_MAX_TEXT]) for name, value in run.parameters.items()]
        for first in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self._run_id, params=parameters[first : first + _PARAMETERS])

    def step(self, metrics: Mapping[str, Any], samples: Mapping[str, Sequence[float]]) -> None:
        """See Tracker; MLflow has no histograms, so samples are left out."""
        self._log(metrics["step"], dict(scalars(metrics)))

    def adapter(self, step: int, tensors: Mapping[str, np.ndarray]) -> None:
        """See Tracker; the root mean square of A and B."""
        self._log(
            step,
            {
                f"adapter/{part}_rms": float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
                for part, values in adapter_parts(tensors).items()
            },
        )

    def close(self, succeeded: bool) -> None:
        """See Tracker."""
        self._client.set_terminated(self._run_id, "FINISHED" if succeeded else "FAILED")

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        now_ms = int(time.time() * 1000)
        made = [self._metric(name, float(value), now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=made)
