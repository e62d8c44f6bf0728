"""Push and pull by S3, against a server of its own on loopback, with kills and with the line cut in the middle."""

import random
import signal

import pytest
import s3_server
from killed_transfers import KilledTransfers
from pushed_episodes import check_pushed

from apo_core.remote.chunk_store import RemoteError
from apo_core.remote.patience import Patience
from apo_episodes.remote import push as pushing
from apo_episodes.remote.pull import pull
from apo_episodes.remote.push import push
from apo_episodes.remote.store import RemoteStore

for package in s3_server.PACKAGES:
    pytest.importorskip(package, reason=f"{package} {s3_server.MISSING}")

KILLS, OUTAGE_EVERY = 4, 3  # pushes
CHUNK_BYTES = 4000
server, line = s3_server.server, s3_server.line


def ignore(done) -> None:
    """Of what is done."""


def fail(what, error) -> None:
    """Nothing is left out."""
    raise error


@pytest.fixture
def store(line, monkeypatch):
    """A bucket of its own, behind the line; failures come soon."""
    monkeypatch.setattr(pushing, "CHUNK_BYTES", 20_000)
    return RemoteStore(f"{s3_server.new_bucket(line)}/robots", s3_server.options(line))


def test_what_is_pushed_is_pulled(folder, tmp_path, impatient, store):
    files = sorted(folder.glob("*.h5"))
    assert push(files, store, "arm1", impatient, ignore, fail) == 2
    assert pull(store, tmp_path / "copy", (), impatient, ignore, fail) == 2
    assert all((tmp_path / "copy" / path.name).read_bytes() == path.read_bytes() for path in files)
    assert store.document("store.json") is None


def test_a_line_that_is_cut_in_the_middle_loses_and_doubles_nothing(folder, tmp_path, store, line, impatient):
    files = sorted(folder.glob("*.h5"))
    line.cut(after=150_000)
    with pytest.raises(RemoteError, match="cannot"):
        push(files, store, "arm1", impatient, ignore, fail)
    assert line.is_cut
    reports = []
    patient = Patience(60.0, iter(range(1000)).__next__, lambda seconds: line.mend(), reports.append)
    seen = []
    assert push(files, store, "arm1", patient, seen.append, fail) == 2
    assert len(reports) == 1
    size = sum(path.stat().st_size for path in files)
    assert 0 < sum(done.sent_bytes for done in seen) < size
    assert pull(store, tmp_path / "copy", (), patient, ignore, fail) == 2
    assert all((tmp_path / "copy" / path.name).read_bytes() == path.read_bytes() for path in files)
    assert len(list(store.episodes())) == 2


def test_killed_pushes_lose_and_double_nothing(tmp_path, write_episode, impatient, store, line):
    robot, rng, outages = tmp_path / "robot", random.Random(0), 0
    command = ["push", str(robot), "--to", store.url, "--robot", "arm1", *s3_server.command_options(line)]
    main = "apo_episodes.cli.cli"
    with KilledTransfers(main, *command, chunk_bytes=CHUNK_BYTES, imports="s3fs") as pushes:
        for number in range(KILLS):
            path = write_episode("PPHP" * rng.randint(1, 4), episode_id=f"e{number}", folder=robot)
            # the record, the chunks looked at and written, the record, the journal
            accesses = 1 + 2 * -(-path.stat().st_size // CHUNK_BYTES) + 2
            if cut := number % OUTAGE_EVERY == 0:
                line.cut()
            pushes.begin(rng.randint(2, accesses), rng.uniform(0, 0.02))
            if cut:
                outages += "trying again" in pushes.wait_for("trying again")
                line.mend()
            assert pushes.wait_for("status") == f"status {-signal.SIGKILL}"
        assert outages > 0
        pushes.begin(0, 0.0)
        assert pushes.wait_for("status") == "status 0"
    check_pushed(store, robot, tmp_path / "copy", impatient)
