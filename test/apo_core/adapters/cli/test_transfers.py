"""`apo adapters push`, `pull` and `release` as they are typed."""

import signal
import subprocess
import sys
import time

import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS

from apo_core.adapters.cli.cli import main
from apo_core.adapters.store import AdapterStore


@pytest.fixture
def trainer(tmp_path) -> AdapterStore:
    """Two adapters; the second is promoted."""
    made = AdapterStore(tmp_path / "trainer")
    made.publish(TENSORS, CONFIG, MANIFEST)
    made.publish(TENSORS, CONFIG, MANIFEST)
    return made


@pytest.fixture
def run(capsys):
    """(arguments) -> (exit status, stdout, stderr)."""

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def wait_for(condition) -> None:
    """Until it holds, at most a minute."""
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_canary_robots_get_a_promotion_first(run, trainer, tmp_path):
    url, canary, fleet = tmp_path / "remote", tmp_path / "canary", tmp_path / "fleet"
    assert run("push", trainer.path, "--to", url, "--ring", "canary")[:2] == (
        0,
        "adapter 1\nadapter 2\nring canary: adapter 2 (change 2)\n",
    )
    assert run("push", trainer.path, "--to", url, "--ring", "canary")[:2] == (0, "nothing was new\n")
    assert run("pull", url, "--output", canary, "--ring", "canary")[0] == 0
    assert run("pull", url, "--output", fleet, "--newest", 1)[:2] == (0, "adapter 2\n")
    assert [AdapterStore(folder).promotion().number for folder in (canary, fleet)] == [2, 0]
    assert run("release", url)[1] == "canary: adapter 2 (change 2)\nfleet: no promotion yet\n"
    assert "ring canary has adapter 2, not adapter 1" in run("release", url, 1)[2]
    assert run("release", url, 2)[1] == "adapter 2: the fleet has it now (change 2)\n"
    assert run("release", url, 2)[1] == "adapter 2: the fleet had it already\n"
    assert run("pull", url, "--output", fleet)[0] == 0
    assert AdapterStore(fleet).promotion() == trainer.promotion()


def test_keys_are_asked_for(run, trainer, tmp_path):
    url, robot = tmp_path / "remote", tmp_path / "robot"
    run("keygen", tmp_path / "a")
    run("push", trainer.path, "--to", url)
    status, out, err = run("pull", url, "--output", robot, "--public-key", tmp_path / "a.pub")
    assert (status, out) == (2, "nothing was new\n")
    assert "apo adapters pull: the promotion of ring fleet: it is not signed" in err
    assert AdapterStore(robot).versions() == []


def test_errors_name_what_is_wrong(run, tmp_path):
    assert "there is no adapter store" in run("push", tmp_path / "none", "--to", tmp_path / "remote")[2]
    assert run("pull", "nosuch://a", "--output", tmp_path / "b")[::2] == (
        2,
        "apo adapters pull: nosuch://a: Protocol not known: nosuch\n",
    )
    assert "--option x: must be NAME=VALUE" in run("release", tmp_path, "--option", "x")[2]


def test_a_watch_follows_the_store_and_ends_at_an_interrupt(run, trainer, tmp_path):
    url, robot = tmp_path / "remote", AdapterStore(tmp_path / "robot")
    code = (
        "import signal, sys; from apo_core.adapters.cli.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the runner of the tests ignores\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = ["pull", str(url), "--output", str(robot.path), "--watch", "1"]
    process = subprocess.Popen([sys.executable, "-c", code, *command], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(robot.path.exists)
        run("push", trainer.path, "--to", url)
        wait_for(lambda: robot.promotion().number == 2)
        trainer.roll_back("2026-01-05T00:00:00+00:00")
        run("push", trainer.path, "--to", url)
        wait_for(lambda: robot.promotion().number == 1)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == "stopped; the same command goes on\n"
    finally:
        process.kill()
    assert process.returncode == 130
