"""Pushes that are killed at random moments while the robot goes on recording and the store comes and goes.

APO_UPLOAD_KILLS=50 in the environment kills so many.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from apo_episodes.remote.pull import pull
from apo_episodes.remote.store import RemoteStore

KILLS = int(os.environ.get("APO_UPLOAD_KILLS", "10"))
OUTAGE_EVERY = 5  # pushes
CHUNK_BYTES = 2000
LONGEST_DELAY_S = 0.005
# For each line "<access> <seconds>" on its input it forks an `apo episodes`, of which kill -9 comes so many seconds
# after the access of that number, at its end at the latest, and never with 0; then it prints the exit status, on a line
# of its own: a killed process leaves the beginning of one now and then.
PUSHES = f"""
import os, signal, sys, threading
from apo_core.remote.chunk_store import ChunkStore
from apo_episodes.cli.cli import main
from apo_episodes.remote import push

push.CHUNK_BYTES = {CHUNK_BYTES}
left, delay = 0, 0.0

def counted(access):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return access(*arguments)
    return call

for owner, name in (
    *((ChunkStore, name) for name in ("has_chunk", "put_chunk", "document", "put_document")),
    (push.Journal, "add"),
):
    setattr(owner, name, counted(getattr(owner, name)))
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        left, delay = int(line.split()[0]), float(line.split()[1])
        last = left > 0
        status = main(sys.argv[1:])
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(status)
    print("\\nstatus", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextlib.contextmanager
def outage(root: Path) -> Iterator[None]:
    """The folder of a store is gone in the block, as a share that is not mounted."""
    away = root.with_name("away")
    root.mkdir(exist_ok=True)
    root.rename(away)
    root.write_text("no folder")
    yield
    root.unlink()
    away.rename(root)


def test_killed_pushes_lose_and_double_nothing(tmp_path, write_episode, impatient):
    root, robot, rng, counts = tmp_path / "store", tmp_path / "robot", random.Random(0), Counter()
    command = ["push", str(robot), "--to", str(root), "--robot", "arm1"]
    pushes = subprocess.Popen(
        [sys.executable, "-c", PUSHES, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )

    def wait_for(*beginnings: str) -> str:
        """The next line that has one of these texts."""
        for line in pushes.stdout:
            if any(text in line for text in beginnings):
                return line
        raise AssertionError("the pushes ended")

    try:
        for number in range(KILLS):
            path = write_episode("PPHP" * rng.randint(1, 4), episode_id=f"e{number}", folder=robot)
            # the record, the chunks looked at and written, the record, the journal
            accesses = 1 + 2 * -(-path.stat().st_size // CHUNK_BYTES) + 2
            moment = f"{rng.randint(1, accesses)} {rng.uniform(0, LONGEST_DELAY_S)}\n"
            if number % OUTAGE_EVERY == 0:
                with outage(root):
                    pushes.stdin.write(moment)
                    line = wait_for("trying again", "status")
                counts["outages"] += "trying again" in line
            else:
                pushes.stdin.write(moment)
                line = ""
            counts["kills"] += (line if "status" in line else wait_for("status")) == f"status {-signal.SIGKILL}\n"
        assert counts["kills"] == KILLS and counts["outages"] > 0
        pushes.stdin.write("0 0\n")
        assert wait_for("status") == "status 0\n"
    finally:
        pushes.kill()
        pushes.communicate()
    check(RemoteStore(str(root)), robot, tmp_path / "copy", impatient)
    print(f"{dict(counts)}, {KILLS} episodes")


def check(store: RemoteStore, robot: Path, copy: Path, impatient) -> None:
    """Every episode of the robot is in the store once and whole, and nothing else."""
    left_out: list[str] = []
    files = {path.name: path.read_bytes() for path in robot.glob("*.h5")}
    assert sorted(store.episodes()) == sorted(("arm1", name.removesuffix(".h5")) for name in files)
    assert pull(store, copy, (), impatient, lambda done: None, lambda what, error: left_out.append(what)) == len(files)
    assert left_out == []
    assert {path.name: path.read_bytes() for path in copy.glob("*.h5")} == files
    listed = {chunk.sha256 for _, episode_id in store.episodes() for chunk in store.record("arm1", episode_id).chunks}
    there = {path.rpartition("/")[2] for path in store.documents("chunks")}
    assert {name for name in there if not name.endswith(".new")} == listed
