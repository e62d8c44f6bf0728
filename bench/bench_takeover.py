"""From the edge of the device to the arm's command at a subscriber, over DDS, beside a bare relay of the message."""

from __future__ import annotations

import random
import time

import numpy as np
from control_harness import Harness
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
                harness.until(lambda: harness.commands[-1][1].source == "POLICY", "the policy in control")
                wait_until = len(harness.commands) + 1
                harness.until(lambda n=wait_until: len(harness.commands) >= n, "a tick")
                offset_s = rng.uniform(0, 0.8 / RATE_HZ)
                deadline = harness.commands[-1][0] + offset_s * 1e9
                harness.until(lambda t=deadline: time.perf_counter_ns() >= t, "the moment")
                values.append(_measure(harness, relay))
    finally:
        harness.close()
    arbiter, bare = (np.percentile(latencies[relay], [50, 99]) for relay in (False, True))
    for index, (name, goal) in enumerate((("takeover_p50_ratio", 1.3), ("takeover_p99_ratio", 1.5))):
        ratio = float(arbiter[index] / bare[index])
        Figure(name, ratio, "", goal, True, TAKEOVERS, float(bare[index]), ratio).emit()
    print(f"arbiter p50 {arbiter[0]:.2f} ms, p99 {arbiter[1]:.2f} ms; relay {bare[0]:.2f} and {bare[1]:.2f} ms")


def _measure(harness: Harness, relay: bool) -> float:
    """Milliseconds from the edge to what came of it. No other input is published meanwhile."""
    received = harness.relayed if relay else harness.arm
    seen = len(received)
    begin = harness.edge(relay)
    answers: list[int] = []

    def answered() -> bool:
        # the policy's commands go forwards, the operator's backwards
        answers[:] = [at for at, message in received[seen:] if relay or message.twist.linear.x < 0]
        return bool(answers)

    harness.until(answered, "the relayed message" if relay else "the operator's command", flow=False)
    return (answers[0] - begin) * 1e-6


if __name__ == "__main__":
    main()
