"""From arriving messages to one decision a tick, in real time and in lockstep. Pure; both clocks are passed in."""

from __future__ import annotations

import numpy as np

from apo_core.contract import Contract
from apo_core.types import ActionChunk
from apo_teleop.arbiter import Arbiter
from apo_teleop.arbiter_config import ArbiterConfig
from apo_teleop.arbiter_types import Decision, OperatorInput, PolicyInput, PoseInput
from apo_teleop.cadence import LockstepGate, TimerCadence
from apo_teleop.diagnostics import ControlRecord
from apo_teleop.inbox import InputInbox


class ControlLoop:
    """Feeds an Arbiter; each method returns the decision to publish now, or None.

    In real time a timer asks for every tick, and what cannot wait comes in between. In lockstep an observation is
    answered once policy and operator have answered it; then simulated time takes the place of the steady clock, since
    while it waits no watchdog may run.

    Args:
        arbiter: decides; it outlives the loop.
        config, contract: cadence.
    """

    def __init__(self, arbiter: Arbiter, config: ArbiterConfig, contract: Contract):
        self.record = ControlRecord()
        self._arbiter, self._lockstep = arbiter, config.lockstep
        self._inbox = InputInbox()
        self._gate = LockstepGate(round(config.lockstep_deadline_s * 1e9))
        self._cadence = TimerCadence(contract.period_ns)

    @property
    def ticks_missed(self) -> int:
        """Ticks without all answers at the deadline, or periods without a command."""
        return self._gate.missed if self._lockstep else self._cadence.missed

    def on_duplicate(self, topic: str) -> None:
        """Which input has more than one publisher; empty: none."""
        self._inbox.duplicate = topic

    def on_pose(self, stamp_ns: int, position: np.ndarray, steady_ns: int) -> Decision | None:
        """The robot's end effector, (3,) m, arrived."""
        self._inbox.pose = PoseInput(stamp_ns, self._arrival(stamp_ns, steady_ns), position)
        if not self._lockstep:
            return None
        if self._gate.observe(stamp_ns, steady_ns):
            return self.record.decision  # the simulation has not heard the answer
        return self._answer(steady_ns)

    def on_chunk(self, answered_ns: int, chunk: ActionChunk | None, fault: str, steady_ns: int) -> Decision | None:
        """The policy has answered every observation up to `answered_ns`, with a chunk or a fault."""
        self._inbox.policy = PolicyInput(chunk, fault, self._arrival(answered_ns, steady_ns))
        self._gate.answer("policy", answered_ns)
        return self._answer(steady_ns) if self._lockstep else None

    def on_operator(
        self,
        stamp_ns: int,
        connected: bool,
        active: bool,
        values: np.ndarray,
        events: tuple[str, ...],
        now_ns: int,
        steady_ns: int,
    ) -> Decision | None:
        """The operator's device has reported; a takeover is decided at once."""
        arrival_ns = self._arrival(stamp_ns, steady_ns)
        sample = self._inbox.put_operator(OperatorInput(stamp_ns, arrival_ns, connected, active, values, events))
        self._gate.answer("operator", stamp_ns)
        if self._lockstep:
            return self._answer(steady_ns)
        return self.tick(now_ns, steady_ns) if self._arbiter.is_urgent(sample) else None

    def on_timer(self, now_ns: int, steady_ns: int) -> Decision | None:
        """Real time: the tick. Lockstep: looks at the deadline."""
        return self._answer(steady_ns) if self._lockstep else self.tick(now_ns, steady_ns)

    def tick(self, now_ns: int, steady_ns: int) -> Decision:
        """Real time: decides now."""
        self._cadence.tick(steady_ns)
        return self._step(now_ns, steady_ns)

    def stop(self, now_ns: int, steady_ns: int) -> Decision:
        """The safe command to end with."""
        last = self._arbiter.last(now_ns)
        self.record.add(last, self._inbox.take(steady_ns))
        return last

    def summary(self, steady_ns: int) -> dict[str, str]:
        """Key and value for /diagnostics."""
        pose = self._inbox.pose
        return self.record.summary(pose.stamp_ns if self._lockstep and pose else steady_ns, self.ticks_missed)

    def _arrival(self, stamp_ns: int, steady_ns: int) -> int:
        return stamp_ns if self._lockstep else steady_ns

    def _answer(self, steady_ns: int) -> Decision | None:
        tick = self._gate.take(steady_ns)
        return None if tick is None else self._step(tick.stamp_ns, tick.stamp_ns, tick.late)

    def _step(self, now_ns: int, steady_ns: int, late: tuple[str, ...] = ()) -> Decision:
        inputs = self._inbox.take(steady_ns, late)
        decision = self._arbiter.step(now_ns, inputs)
        self.record.add(decision, inputs)
        return decision
