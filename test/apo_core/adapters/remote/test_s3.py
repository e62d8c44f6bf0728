"""Adapters by S3, against a server of its own on loopback, with kills and with the line cut in the middle."""

import random
import signal

import pytest
import s3_server
from adapter_samples import CONFIG, MANIFEST, NOW, TENSORS
from calibration_samples import calibrate
from killed_transfers import KilledTransfers
from transfer_looks import Looks

from apo_core.adapters.remote import push as pushing
from apo_core.adapters.remote.pull import Pull
from apo_core.adapters.remote.push import Push
from apo_core.adapters.remote.rings import release
from apo_core.adapters.remote.store import RemoteAdapters
from apo_core.remote.chunk_store import RemoteError
from apo_core.remote.patience import Patience

for package in s3_server.PACKAGES:
    pytest.importorskip(package, reason=f"{package} {s3_server.MISSING}")

CHUNK_BYTES = 500
server, line = s3_server.server, s3_server.line


@pytest.fixture
def remote(line, monkeypatch) -> RemoteAdapters:
    """A bucket of its own, behind the line; failures come soon."""
    monkeypatch.setattr(pushing, "CHUNK_BYTES", CHUNK_BYTES)
    return RemoteAdapters(f"{s3_server.new_bucket(line)}/adapters", s3_server.options(line))


def test_adapters_calibrations_and_rings_come_and_change(trainer, robot, remote, once, push, pull):
    calibrate(trainer, 2)
    pushing, pulling = push("canary"), pull()
    assert len(pushing()) == 4
    assert pulling() == ["adapter 2", "adapter 1", "calibration of adapter 2"]
    release(remote, 2, once)
    assert pulling() == ["ring fleet: adapter 2 is promoted (change 2)"]
    calibrate(trainer, 2, created_utc=NOW)
    trainer.roll_back(NOW)
    assert pushing() == ["calibration of adapter 2", "ring canary: adapter 1 (change 3)"]
    assert pulling() == ["calibration of adapter 2"]
    release(remote, 1, once)
    assert pulling() == ["ring fleet: adapter 1 is promoted (change 3)"]
    assert robot.promotion() == trainer.promotion() and robot.read(2)[0] == trainer.read(2)[0]
    assert pushing() == pulling() == []
    assert remote.document("store.json") is None


@pytest.mark.parametrize("after", [3_000, 20_000])
def test_a_line_that_is_cut_in_the_middle_promotes_nothing_half(trainer, robot, remote, once, line, after):
    mended = Patience(60.0, iter(range(1000)).__next__, lambda seconds: line.mend(), lambda text: None)
    for patience in (once, mended):
        for transfer in (Push(trainer, remote, "fleet", patience), Pull(remote, robot.path, "fleet", None, patience)):
            line.cut(after)
            try:
                Looks(transfer)()
            except RemoteError:
                assert line.is_cut
            promoted = robot.promotion().number
            assert promoted == 0 or robot.read(promoted)
    line.mend()
    line.cut()
    trainer.publish(TENSORS, CONFIG, MANIFEST)
    assert len(Looks(Push(trainer, remote, "fleet", mended))()) == 3
    line.cut()
    assert Looks(Pull(remote, robot.path, "fleet", None, mended))()[0] == "adapter 3"
    assert robot.promotion() == trainer.promotion() and robot.versions() == trainer.versions() == [1, 2, 3]


def test_killed_pushes_and_pulls_serve_what_is_whole(trainer, robot, remote, line):
    rng, options = random.Random(0), s3_server.command_options(line)
    push = ["push", str(trainer.path), "--to", remote.url, *options]
    pull = ["pull", remote.url, "--output", str(robot.path), *options]
    main = "apo_core.adapters.cli.cli"
    with (
        KilledTransfers(main, *push, chunk_bytes=CHUNK_BYTES, imports="s3fs") as pushes,
        KilledTransfers(main, *pull, chunk_bytes=CHUNK_BYTES, imports="s3fs") as pulls,
    ):
        for number in range(3, 5):
            trainer.publish(TENSORS, CONFIG, MANIFEST)
            calibrate(trainer, number)
            for transfers, accesses in ((pushes, 20), (pulls, 15)):
                transfers.begin(rng.randint(1, accesses), rng.uniform(0, 0.02))
                assert transfers.wait_for("status") == f"status {-signal.SIGKILL}"
                promoted = robot.promotion().number
                assert promoted == 0 or robot.read(promoted)
                assert all(robot.read(version) for version in robot.versions())
                transfers.begin(0, 0.0)
                assert transfers.wait_for("status") == "status 0"
            assert robot.promotion() == trainer.promotion()
    assert (robot.path / "help" / "000004.json").read_bytes() == (trainer.path / "help" / "000004.json").read_bytes()
    assert [path.name for path in robot.path.iterdir() if path.name.startswith(".pulling-")] == []
