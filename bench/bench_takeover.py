"""From the edge of the device to the arm's command at a subscriber, over DDS, beside a bare relay of the message."""

from __future__ import annotations

import random

import numpy as np
from control.harness import Harness
from control.takeovers import await_moment, takeover_ms
from figure import Figure

TAKEOVERS = 1000
RATE_HZ = 20.0


def main() -> None:
    harness = Harness(RATE_HZ, RATE_HZ)
    latencies: dict[bool, list[float]] = {False: [], True: []}
    rng = random.Random(0)
    try:
        harness.start_arbiter(hand_back_s=0.05)
        harness.start_relay()
        for relay in latencies:
            harness.until(lambda relay=relay: harness.connected(relay), "the processes under test")
        for _ in range(TAKEOVERS):
            # in turn, so that both see the same machine; at any phase of the tick
            for relay, values in latencies.items():
                await_moment(harness, rng.uniform(0, 0.8 / RATE_HZ))
                values.append(takeover_ms(harness, relay))
    finally:
        harness.close()
    arbiter, bare = (np.percentile(latencies[relay], [50, 99]) for relay in (False, True))
    for index, (name, goal) in enumerate((("takeover_p50_ratio", 1.3), ("takeover_p99_ratio", 1.5))):
        ratio = float(arbiter[index] / bare[index])
        Figure(name, ratio, "", goal, True, TAKEOVERS, float(bare[index]), ratio).emit()
    print(f"arbiter p50 {arbiter[0]:.2f} ms, p99 {arbiter[1]:.2f} ms; relay {bare[0]:.2f} and {bare[1]:.2f} ms")


if __name__ == "__main__":
    main()
