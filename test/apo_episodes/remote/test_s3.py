"""Push and pull by S3, against a server of its own on loopback, with the line cut in the middle."""

import contextlib
import select
import socket
import threading
import uuid

import pytest

from apo_core.remote.chunk_store import RemoteError
from apo_core.remote.patience import Patience
from apo_episodes.remote import push as pushing
from apo_episodes.remote.pull import pull
from apo_episodes.remote.push import push
from apo_episodes.remote.store import RemoteStore

for package in ("s3fs", "moto"):
    pytest.importorskip(package, reason=f"{package} is missing: pip install -r requirements/store.in")


def ignore(done) -> None:
    """Of what is done."""


def fail(what, error) -> None:
    """Nothing is left out."""
    raise error


class Line:
    """A line to a server: passes bytes on until it is cut, and again once it is mended."""

    def __init__(self, target: tuple[str, int]):
        self._target, self._listener = target, socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.passed, self.cut_after = 0, float("inf")
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self) -> bool:
        return self.passed >= self.cut_after

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.is_cut:
                return
            with socket.create_connection(self._target) as server:
                ends = {client: server, server: client}
                while not self.is_cut:
                    for source in select.select(list(ends), [], [], 0.05)[0]:
                        data = source.recv(4096)
                        if not data:
                            return
                        self.passed += len(data)
                        ends[source].sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    made = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    made.start()
    yield made.get_host_and_port()
    made.stop()


@pytest.fixture
def line(server):
    made = Line(server)
    yield made
    made.close()


@pytest.fixture
def store(line, monkeypatch):
    """A bucket of its own, behind the line; failures come soon."""
    monkeypatch.setattr(pushing, "CHUNK_BYTES", 20_000)
    bucket = f"b{uuid.uuid4().hex}"
    options = {
        "endpoint_url": f"http://127.0.0.1:{line.port}",
        "key": "test",
        "secret": "test",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5, "read_timeout": 5},
        "skip_instance_cache": True,
    }
    import s3fs

    s3fs.S3FileSystem(**options).mkdir(bucket)
    return RemoteStore(f"s3://{bucket}/robots", options)


def test_what_is_pushed_is_pulled(folder, tmp_path, impatient, store):
    files = sorted(folder.glob("*.h5"))
    assert push(files, store, "arm1", impatient, ignore, fail) == 2
    assert pull(store, tmp_path / "copy", (), impatient, ignore, fail) == 2
    assert all((tmp_path / "copy" / path.name).read_bytes() == path.read_bytes() for path in files)


def test_a_line_that_is_cut_in_the_middle_loses_and_doubles_nothing(folder, tmp_path, store, line, impatient):
    files = sorted(folder.glob("*.h5"))
    line.cut_after = line.passed + 150_000
    with pytest.raises(RemoteError, match="cannot"):
        push(files, store, "arm1", impatient, ignore, fail)
    assert line.is_cut

    def mended(seconds: float) -> None:
        line.cut_after = float("inf")

    reports = []
    patient = Patience(60.0, iter(range(1000)).__next__, mended, reports.append)
    seen = []
    assert push(files, store, "arm1", patient, seen.append, fail) == 2
    assert len(reports) == 1
    size = sum(path.stat().st_size for path in files)
    assert 0 < sum(done.sent_bytes for done in seen) < size
    assert pull(store, tmp_path / "copy", (), patient, ignore, fail) == 2
    assert all((tmp_path / "copy" / path.name).read_bytes() == path.read_bytes() for path in files)
    assert len(list(store.episodes())) == 2
