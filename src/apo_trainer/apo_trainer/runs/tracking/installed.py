"""Whether the packages of a run's trackers are installed. Imports none of them."""

from __future__ import annotations

import importlib.util

from apo_core.errors import ConfigError
from apo_trainer.config import TrainerConfig

_PACKAGES = {"mlflow": "mlflow-skinny", "wandb": "wandb"}  # tracker, which is its module, -> package


def check_trackers(config: TrainerConfig) -> None:
    """Raises ConfigError where a tracker's package is not installed."""
    faults = [
        f"tracker = {config.tracker!r} needs the Python package '{_PACKAGES[name]}', which is not installed: "
        "pip install -c requirements/lock.txt -r requirements/track.in (the extra `track`)"
        for name in config.trackers
        if name in _PACKAGES and not _is_installed(name)
    ]
    if faults:
        raise ConfigError("trainer", faults)


def _is_installed(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None  # without origin it is a folder of that name
