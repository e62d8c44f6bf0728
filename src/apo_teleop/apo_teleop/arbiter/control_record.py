"""What the arbiter did since it became active: counts, the newest decision, the summary for /diagnostics. Pure."""

from __future__ import annotations

from collections import Counter

from apo_teleop.arbiter.latency import LatencyStatistics
from apo_teleop.arbiter.types import ArbiterInputs, ControlState, Decision

_NOTHING = "never"


class ControlRecord:
    """Counts over the ticks since the arbiter became active."""

    def __init__(self) -> None:
        self.latency = LatencyStatistics()
        self.ticks = 0
        self.takeovers = 0
        self.decision: Decision | None = None
        self.changed = False  # whether the newest tick has another state or reason than the one before
        self.inputs: ArbiterInputs | None = None  # behind the newest decision
        self._clips: Counter[str] = Counter()
        self._states: Counter[str] = Counter()

    def add(self, decision: Decision, inputs: ArbiterInputs) -> None:
        """Counts a tick."""
        before = self.decision
        self.decision, self.inputs = decision, inputs
        self.ticks += 1
        self.takeovers += decision.takeover
        self._clips.update(decision.clipped)
        self._states[decision.state] += 1
        self.changed = before is None or (before.state, before.reason) != (decision.state, decision.reason)

    def latency_ms(self, percent: float) -> float:
        """Percentile of the takeover latency, milliseconds; NaN before the first."""
        return self.latency.percentile_ms(percent)

    def summary(self, steady_ns: int, ticks_missed: int) -> dict[str, str]:
        """Key and value, for people; ages in seconds of the clock that the inputs' arrival is measured with."""
        decision, inputs = self.decision, self.inputs
        if decision is None or inputs is None:
            return {"state": "no tick yet", "ticks_missed": str(ticks_missed)}
        arrivals = {
            "policy": inputs.policy,
            "operator": inputs.operator,
            "observation": inputs.pose,
            "feedback": inputs.feedback,
        }
        return {
            "state": decision.state,
            "reason": decision.reason,
            "detail": decision.detail,
            "latched": str(decision.latched),
            **{
                f"{name}_age_s": _NOTHING if got is None else f"{max(0, steady_ns - got.receive_ns) * 1e-9:.3f}"
                for name, got in arrivals.items()
            },
            "operator_connected": str(inputs.operator is not None and inputs.operator.connected),
            "estop_held": str(inputs.estop),
            "adapter_version": str(decision.adapter_version),
            "ticks": str(self.ticks),
            "ticks_missed": str(ticks_missed),
            **{f"ticks_{state.lower()}": str(self._states[state]) for state in ControlState},
            "takeovers": str(self.takeovers),
            "takeover_latency_p50_ms": f"{self.latency.percentile_ms(50):.2f}",
            "takeover_latency_p99_ms": f"{self.latency.percentile_ms(99):.2f}",
            **{f"clipped {name}": str(count) for name, count in sorted(self._clips.items())},
        }
