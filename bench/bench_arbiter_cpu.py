"""Processor time of the arbiter at 100 Hz: poses and operator samples at 100 Hz, chunks at 20 Hz."""

from __future__ import annotations

import time

from control.harness import Harness, cpu_seconds
from figure import Figure

RATE_HZ = 100.0
SECONDS = 20.0


def main() -> None:
    harness = Harness(RATE_HZ, 20.0)
    try:
        process = harness.start_arbiter()
        harness.until(lambda: harness.connected(relay=False), "the arbiter")
        harness.until(lambda: harness.commands[-1][1].source == "POLICY", "the policy in control")
        first, used, begin = len(harness.commands), cpu_seconds(process), time.monotonic()
        harness.run_until(time.monotonic_ns() + round(SECONDS * 1e9))
        used, took = cpu_seconds(process) - used, time.monotonic() - begin
        commands = harness.commands[first:]
    finally:
        harness.close()
    driven = sum(message.source == "POLICY" for _, message in commands)
    Figure("arbiter_cpu_percent", 100 * used / took, "% of a core", 15.0, True, len(commands)).emit()
    print(f"{len(commands) / took:.1f} commands/s, {driven} of {len(commands)} by the policy")


if __name__ == "__main__":
    main()
