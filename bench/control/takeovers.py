"""One takeover of the arbiter, or one message through the relay, timed."""

from __future__ import annotations

from control.harness import Harness


def await_moment(harness: Harness, offset_s: float) -> None:
    """Waits until the policy drives and a tick is `offset_s` old."""
    harness.until(lambda: harness.commands[-1][1].source == "POLICY", "the policy in control")
    count = len(harness.commands) + 1
    harness.until(lambda: len(harness.commands) >= count, "a tick")
    harness.run_until(harness.commands[-1][0] + round(offset_s * 1e9))


def takeover_ms(harness: Harness, relay: bool, flow: bool = False) -> float:
    """Milliseconds from the edge to what came of it.

    Args:
        harness: the robot and the operator.
        relay: time the relay, not the arbiter.
        flow: publish the other inputs meanwhile, and the deflected device's next samples.
    """
    received = harness.relayed if relay else harness.arm
    seen = len(received)
    begin = harness.edge(relay)
    answers: list[int] = []

    def answered() -> bool:
        # the policy's commands go forwards, the operator's backwards
        answers[:] = [at for at, message in received[seen:] if relay or message.twist.linear.x < 0]
        return bool(answers)

    harness.deflected = True
    harness.until(answered, "the relayed message" if relay else "the operator's command", flow)
    harness.deflected = False
    if not relay:  # it follows the arm's; without it the next takeover would find the policy's last one
        harness.until(lambda: harness.commands[-1][1].source == "HUMAN", "the report of the operator's command", flow)
    return (answers[0] - begin) * 1e-6
