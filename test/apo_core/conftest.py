"""A store of adapters."""

from pathlib import Path

import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS

from apo_core.adapters.store import AdapterStore


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


@pytest.fixture
def published(store: AdapterStore) -> Path:
    """Folder of an adapter in the store."""
    store.publish(TENSORS, CONFIG, MANIFEST)
    return store.path / "000001"
