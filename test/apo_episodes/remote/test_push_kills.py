"""Pushes that are killed at random moments while the robot goes on recording and the store comes and goes.

APO_UPLOAD_KILLS=50 in the environment kills so many.
"""

import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from killed_transfers import KilledTransfers
from pushed_episodes import check_pushed

from apo_episodes.remote.store import RemoteStore

KILLS = int(os.environ.get("APO_UPLOAD_KILLS", "10"))
OUTAGE_EVERY = 5  # pushes
CHUNK_BYTES = 2000
LONGEST_DELAY_S = 0.005


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
    with KilledTransfers("apo_episodes.cli.cli", *command, chunk_bytes=CHUNK_BYTES) as pushes:
        for number in range(KILLS):
            path = write_episode("PPHP" * rng.randint(1, 4), episode_id=f"e{number}", folder=robot)
            # the marker, the record, the chunks looked at and written, the record, the journal
            accesses = 2 + 2 * -(-path.stat().st_size // CHUNK_BYTES) + 2
            moment = rng.randint(1, accesses), rng.uniform(0, LONGEST_DELAY_S)
            line = ""
            if number % OUTAGE_EVERY == 0:
                with outage(root):
                    pushes.begin(*moment)
                    line = pushes.wait_for("trying again", "status")
                counts["outages"] += "trying again" in line
            else:
                pushes.begin(*moment)
            line = line if "status" in line else pushes.wait_for("status")
            counts["kills"] += line == f"status {-signal.SIGKILL}"
        assert counts["kills"] == KILLS and counts["outages"] > 0
        pushes.begin(0, 0.0)
        assert pushes.wait_for("status") == "status 0"
    check_pushed(RemoteStore(str(root)), robot, tmp_path / "copy", impatient)
    print(f"{dict(counts)}, {KILLS} episodes")
