import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS

from apo_core.adapters.remote.store import RemoteAdapters
from apo_core.adapters.store import AdapterStore
from apo_core.remote.patience import Patience


@pytest.fixture
def once() -> Patience:
    """Every access is tried once."""
    return Patience(0.0, lambda: 0.0, lambda seconds: None, lambda text: None)


@pytest.fixture
def remote(tmp_path) -> RemoteAdapters:
    return RemoteAdapters(f"file://{tmp_path}/remote")


@pytest.fixture
def trainer(tmp_path) -> AdapterStore:
    """Two adapters, of which the second is promoted (change 2)."""
    made = AdapterStore(tmp_path / "trainer")
    made.publish(TENSORS, CONFIG, MANIFEST)
    made.publish(TENSORS, CONFIG, MANIFEST)
    return made
