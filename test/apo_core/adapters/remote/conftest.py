import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS
from transfer_looks import Looks

from apo_core.adapters.remote.pull import Pull
from apo_core.adapters.remote.push import Push
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


@pytest.fixture
def robot(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "robot")


@pytest.fixture
def push(trainer, remote, once):
    """(ring) -> looks of a push of the trainer's store."""

    def make(ring="fleet"):
        return Looks(Push(trainer, remote, ring, once))

    return make


@pytest.fixture
def pull(remote, robot, once):
    """(ring, newest, trusted, store) -> looks of a pull into the robot's store."""

    def make(ring="fleet", newest=None, trusted=None, store=None):
        return Looks(Pull(store or remote, robot.path, ring, newest, once, trusted))

    return make
