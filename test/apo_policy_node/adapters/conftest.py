"""An adapter store, and a reloader of the fake policy that loads from it."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from adapter_samples import plain_manifest

from apo_core.adapters.manifest import ManifestInput
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_policy_node.adapters.reloader import AdapterReloader

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}


def check_config(config):
    if config["lora_alpha"] != 16:
        raise AdapterError(f"adapter_config.json: lora_alpha = {config['lora_alpha']}, the policy has 16")


@pytest.fixture
def manifest(policy) -> ManifestInput:
    return plain_manifest(policy)


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


@pytest.fixture
def publish(store, manifest) -> Callable[..., int]:
    """Publishes an adapter of one number and returns its version."""

    def make(bias=0.5, name="bias", config=CONFIG, **changes) -> int:
        tensors = {name: np.array([bias], np.float32)}
        return store.publish(tensors, config, dataclasses.replace(manifest, **changes)).number

    return make


@pytest.fixture
def reloader(policy, second, store, contract, clock) -> AdapterReloader:
    return AdapterReloader(policy, second, store, contract, "lift", check_config, clock)
