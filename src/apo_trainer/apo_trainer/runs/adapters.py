"""The adapters that a run begins with, read before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apo_core.adapters.manifest import AdapterVersion
from apo_core.adapters.signature import SigningKey, read_signing_key
from apo_core.adapters.store import AdapterStore
from apo_trainer.config import TrainerConfig
from apo_trainer.runs.files import RunRequest

StoredAdapter = tuple[AdapterVersion, Mapping[str, np.ndarray]]  # manifest and tensors


@dataclass(frozen=True, slots=True)
class RunAdapters:
    """Where a run comes from, what it is compared with, and where its adapter goes."""

    store: AdapterStore
    key: SigningKey | None  # signs the new adapter
    parent: StoredAdapter | None  # None: the base policy
    serving: StoredAdapter | None  # None where it is the reference or the base policy


def read_adapters(config: TrainerConfig, request: RunRequest) -> RunAdapters:
    """Reads store, key and adapters, so that their faults are reported before training.

    Raises:
        AdapterError: the folder is no store, or key or adapter cannot be read.
    """
    key = read_signing_key(config.signing_key) if config.signing_key else None
    store = AdapterStore(config.adapter_dir, key=key)
    store.versions()  # raises where the folder is no store
    parent = store.read(request.parent) if request.parent else None
    # the reference is compared with in any case
    reference = request.parent if config.training.reference == "start" else 0
    serving = store.read(request.serving) if request.serving not in (0, reference) else None
    return RunAdapters(store, key, parent, serving)
