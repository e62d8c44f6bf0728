"""Curves of a run for Weights & Biases, offline unless asked otherwise. Needs wandb (requirements/track.in)."""

from __future__ import annotations

import importlib
import netrc
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from apo_trainer.runs.tracking.tracker import TrackedRun, adapter_parts, scalars

_HISTOGRAM_STEPS = 10  # steps between histograms
_FINISH_S = 10.0  # that the client waits for its server at the end of the process


class WandbTracker:
    """One run of a project; every start of a resumed run is one, in the same group.

    Args:
        run: that is tracked; offline, its folder receives `wandb/offline-run-*`, which `wandb sync` uploads.
        project: its name.
        mode: offline or online; the latter takes the login of `wandb login` or WANDB_API_KEY.

    Raises:
        Exception: of the client, here and in every method.
    """

    def __init__(self, run: TrackedRun, project: str, mode: str):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing goes to others than the named server
        wandb = importlib.import_module("wandb")
        if mode == "online" and not _has_login(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url):
            raise RuntimeError("there is no login: type `wandb login`, or set WANDB_API_KEY")
        self._histogram = wandb.Histogram
        self._run = wandb.init(
            project=project,
            name=run.run_id,
            group=run.run_id,
            dir=str(run.folder),
            mode=mode,
            config={**run.parameters, "first_step": run.first_step},
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_git=True,
                x_disable_stats=True,
                finish_timeout=_FINISH_S,
            ),
        )

    def step(self, metrics: Mapping[str, Any], samples: Mapping[str, Sequence[float]]) -> None:
        """See Tracker."""
        step = metrics["step"]
        values: dict[str, Any] = dict(scalars(metrics))
        if step == 1 or step % _HISTOGRAM_STEPS == 0:
            values |= {f"samples/{name}": self._histogram(list(numbers)) for name, numbers in samples.items()}
        self._run.log(values, step=step)

    def adapter(self, step: int, tensors: Mapping[str, np.ndarray]) -> None:
        """See Tracker."""
        parts = adapter_parts(tensors).items()
        self._run.log({f"adapter/{part}": self._histogram(values) for part, values in parts}, step=step)

    def close(self, succeeded: bool) -> None:
        """See Tracker."""
        self._run.finish(exit_code=0 if succeeded else 1)


def _has_login(url: str) -> bool:
    """Whether there is one for the server; without it the client would ask on the terminal."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
