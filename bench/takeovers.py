"""One takeover of the arbiter, or one message through the relay, timed."""

from __future__ import annotations

import time

from control_harness import Harness


def await_moment(harness: Harness, offset_s: float) -> None:
    """Waits until the policy drives and a tick is `offset_s` old."""
    harness.until(lambda: harness.commands[-1][1].source == "POLICY", "the policy in control")
    count = len(harness.commands) + 1
    harness.until(lambda: len(harness.commands) >= count, "a tick")
    deadline = harness.commands[-1][0] + offset_s * 1e9
    harness.until(lambda: time.perf_counter_ns() >= deadline, "the moment")


def takeover_ms(harness: Harness, relay: bool) -> float:
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
