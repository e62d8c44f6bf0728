"""Takeovers while a training and a simulation keep every core busy, beside those on the quiet machine.

The process here stands for device and arm: it has the priority that a driver has. Quiet and busy spells take turns, and
so do arbiters with and without `realtime_priority`, so that all see the same machine.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from control.harness import Harness, cpu_seconds
from control.takeovers import await_moment, takeover_ms
from figure import Figure

from apo_core.system.scheduling import raise_priority

TAKEOVERS, SPELLS, RATE_HZ = 100, 3, 20.0
PRIORITY = 20  # of SCHED_FIFO, the arbiter's
BUSY_CPU_S, LOOK_NS = 1.0, 100_000_000  # of each program before it counts as running
LOADS = ("loads.training", "loads.simulation")


def spell(harness: Harness, rng: random.Random) -> list[float]:
    """Milliseconds of some takeovers in a row."""
    values = []
    for _ in range(TAKEOVERS):
        await_moment(harness, rng.uniform(0, 0.8 / RATE_HZ))
        values.append(takeover_ms(harness, relay=False, flow=True))
    return values


def start_loads() -> list[subprocess.Popen]:
    """One training as the trainer node starts it, and one simulation."""
    here = Path(__file__).parent
    return [subprocess.Popen([sys.executable, "-m", name], stdout=subprocess.DEVNULL, cwd=here) for name in LOADS]


def await_loads(harness: Harness, loads: list[subprocess.Popen]) -> None:
    """Waits until every load is at work; raises RuntimeError when one has ended."""
    while not all(cpu_seconds(load) > BUSY_CPU_S for load in loads):
        harness.run_until(time.monotonic_ns() + LOOK_NS)
        for load in loads:
            if load.poll() is not None:
                raise RuntimeError(f"{load.args} ended with status {load.returncode}")


def measured(priority: int, busy: bool, rng: random.Random) -> list[float]:
    """A spell with an arbiter of its own."""
    harness, loads = Harness(RATE_HZ, RATE_HZ), start_loads() if busy else []
    try:
        harness.start_arbiter(hand_back_s=0.05, realtime_priority=priority)
        harness.until(lambda: harness.connected(False), "the arbiter")
        await_loads(harness, loads)
        raise_priority(PRIORITY + 1)
        return spell(harness, rng)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # or the next loads would inherit the priority
        for load in loads:
            load.kill()
            load.wait()
        harness.close()


def main() -> None:
    rng = random.Random(0)
    found: dict[tuple[int, bool], list[float]] = {}
    for _ in range(SPELLS):
        for setting in ((PRIORITY, False), (PRIORITY, True), (0, True)):
            found.setdefault(setting, []).extend(measured(*setting, rng))
    for (priority, busy), values in found.items():
        p50, p99 = np.percentile(values, [50, 99])
        load = "busy" if busy else "quiet"
        print(f"realtime_priority {priority}, {load}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {max(values):.2f} ms")
    quiet, loaded = (float(np.percentile(found[PRIORITY, busy], 99)) for busy in (False, True))
    ratio = loaded / quiet
    Figure("takeover_p99_under_load_ratio", ratio, "", 3.0, True, SPELLS * TAKEOVERS, quiet, ratio).emit()


if __name__ == "__main__":
    main()
