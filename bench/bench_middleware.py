"""Whether processes survive killed peers, and what images cost on the transports of Fast DDS.

The programs in middleware/ measure other numbers of kills, other transports and sizes: `--help` lists their options.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from figure import Figure

HERE = Path(__file__).resolve().parent / "middleware"
KILLS, SECONDS = 100, 10.0


def measured(program: str, *arguments: str) -> dict:
    """The JSON line of a program; its status is of what it counted.

    Raises:
        RuntimeError: it printed none.
    """
    command = [sys.executable, str(HERE / f"{program}.py"), *arguments]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()
    if not lines:
        raise RuntimeError(f"{program}.py {' '.join(arguments)} printed no figures")
    return json.loads(lines[-1])


def bench_killed_peers() -> None:
    for transport in ("udp", "shm"):
        count = measured("killed_peers", "--transport", transport, "--kills", str(KILLS))
        failures = count["crashes_total"] + count["hangs_total"]
        print(f"{transport}: {failures} crashes and hangs, {count['dead_mb']:.0f} MB left in shared memory")
        Figure(f"killed_peers_{transport}", failures, "failures", 0.0, True, count["kills"]).emit()


def bench_images() -> None:
    for reliability in ("reliable", "best_effort"):
        streams = {}
        for transport in ("udp", "shm"):
            options = ("--transport", transport, "--reliability", reliability, "--seconds", str(SECONDS))
            streams[transport] = one = measured("image_stream", *options)
            print(
                f"{reliability} {transport}: {one['lost']} of {one['frames']} frames lost, {one['latency_ms']:.1f} ms "
                f"(99 %: {one['latency_p99_ms']:.1f} ms), {one['processors']:.2f} processors"
            )
        lost = {name: one["lost"] / one["frames"] for name, one in streams.items()}
        frames = streams["shm"]["frames"]
        Figure(f"images_lost_{reliability}", lost["shm"], "", 0.0, True, frames, lost["udp"]).emit()


def main() -> None:
    bench_killed_peers()
    bench_images()


if __name__ == "__main__":
    main()
