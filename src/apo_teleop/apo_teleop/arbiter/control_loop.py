"""From arriving messages to one decision a tick, in real time and in lockstep. Pure; both clocks are passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.contract.frames import Header
from apo_core.types import ActionChunk, OperatorEvent
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.control_record import ControlRecord
from apo_teleop.arbiter.estop import EstopSignal
from apo_teleop.arbiter.latest_inputs import LatestInputs
from apo_teleop.arbiter.tick_schedule import LockstepGate, TimerCadence
from apo_teleop.arbiter.types import (
    ControlState,
    Decision,
    FeedbackInput,
    OperatorInput,
    PolicyInput,
    PoseInput,
)


class ControlLoop:
    """Runs an Arbiter; each method returns the decision to publish now, or None.

    In real time a timer asks for every tick, and what cannot wait comes in between. In lockstep an observation is
    answered once policy and operator have answered it; then simulated time takes the place of the steady clock, since
    while it waits no watchdog may run.

    Args:
        arbiter: decides; it outlives the loop.
        config, contract: cadence.
        estop: messages of the emergency stop topic; it outlives the loop too.
        output_fault: (steady time, in lockstep the stamp of the tick), called in every tick: why the output to the
            robot cannot compute motion; empty: it can.
        output_share: called in every tick: the share of the newest command's speed that the arm's own limits have left.
        output_pose: (stamp, (3,) m, (4,) xyzw), called with each end-effector pose in a known frame.
    """

    def __init__(
        self,
        arbiter: Arbiter,
        config: ArbiterConfig,
        contract: Contract,
        estop: EstopSignal,
        output_fault: Callable[[int], str] = lambda clock_ns: "",
        output_share: Callable[[], float] = lambda: 1.0,
        output_pose: Callable[[int, Sequence[float], Sequence[float]], None] = lambda *pose: None,
    ):
        self.record = ControlRecord()
        self._estop = estop
        self._output_fault, self._output_share, self._output_pose = output_fault, output_share, output_pose
        self._unannounced: tuple[int, int] | None = None  # adapter and stamp of an answer that cannot count yet
        self._arbiter, self._lockstep = arbiter, config.lockstep
        self._inputs = LatestInputs()
        self._gate = LockstepGate(round(config.lockstep_deadline_s * 1e9))
        self._cadence = TimerCadence(contract.period_ns)
        self._search_ns, self._began_ns = round(config.operator_search_s * 1e9), -1
        self._operator_publishers = 0

    @property
    def ticks_missed(self) -> int:
        """Ticks without all answers at the deadline, or periods without a command."""
        return self._gate.missed if self._lockstep else self._cadence.missed

    @property
    def moves_gripper(self) -> bool:
        """Whether the gripper gets commands: it keeps what it holds until policy or operator command it.

        A simulation in lockstep waits for arm and gripper in every tick.
        """
        return self._lockstep or self._arbiter.has_gripped

    def on_duplicate(self, topic: str) -> None:
        """Which input has more than one publisher; empty: none."""
        self._inputs.duplicate = topic

    def on_operator_publishers(self, count: int) -> None:
        """How many nodes publish samples of the operator's device."""
        self._operator_publishers = count

    def on_estop(self, stop: bool, now_ns: int, steady_ns: int) -> Decision | None:
        """A message of the emergency stop topic; a stop is decided at once."""
        self._estop.on_message(stop, steady_ns)
        if self._lockstep or not stop or self._arbiter.state is ControlState.ESTOP:
            return None
        return self.tick(now_ns, steady_ns)

    def on_adapter(self, versions: Sequence[int], steady_ns: int) -> Decision | None:
        """The policy node has announced adapters; lockstep: a tick may have waited for it."""
        self._inputs.adapters |= frozenset(versions)
        if self._unannounced is None or self._unannounced[0] not in self._inputs.adapters:
            return None
        self._gate.answer("policy", self._unannounced[1])
        self._unannounced = None
        return self._answer(steady_ns) if self._lockstep else None

    def on_feedback(self, header: Header, twist: Sequence[float], steady_ns: int) -> None:
        """The robot has measured its motion, (6,) m/s, rad/s."""
        arrival_ns = self._arrival(header, steady_ns)
        self._inputs.feedback = FeedbackInput(header.stamp_ns, arrival_ns, tuple(twist), header.frame_id)

    def on_pose(
        self, header: Header, position: Sequence[float], quaternion: Sequence[float], steady_ns: int
    ) -> Decision | None:
        """The robot's end effector, (3,) m and (4,) xyzw, arrived; the output gets it before any answer."""
        arrival_ns = self._arrival(header, steady_ns)
        self._inputs.pose = PoseInput(header.stamp_ns, arrival_ns, tuple(position), header.frame_id)
        if not self._arbiter.pose_frame_fault(header.frame_id):
            self._output_pose(header.stamp_ns, position, quaternion)
        if not self._lockstep:
            return None
        if self._gate.observe(header.stamp_ns, steady_ns):
            return self.record.decision  # the simulation has not received the answer
        return self._answer(steady_ns)

    def on_chunk(self, header: Header, chunk: ActionChunk | None, fault: str, steady_ns: int) -> Decision | None:
        """The policy has answered every observation up to the header's stamp, with a chunk or a fault.

        DDS keeps no order across topics: in lockstep the tick waits for the announcement of the chunk's adapter too.
        """
        self._inputs.policy = PolicyInput(chunk, fault, self._arrival(header, steady_ns), header.frame_id)
        self._unannounced = None
        if chunk is None or chunk.adapter_version in self._inputs.adapters:
            self._gate.answer("policy", header.stamp_ns)
        else:
            self._unannounced = (chunk.adapter_version, header.stamp_ns)
        return self._answer(steady_ns) if self._lockstep else None

    def on_operator(
        self,
        header: Header,
        connected: bool,
        active: bool,
        values: np.ndarray,
        events: tuple[OperatorEvent, ...],
        now_ns: int,
        steady_ns: int,
    ) -> Decision | None:
        """The operator's device has reported; a takeover is decided at once."""
        stamp_ns, arrival_ns = header.stamp_ns, self._arrival(header, steady_ns)
        reported = OperatorInput(stamp_ns, arrival_ns, connected, active, values, events, frame_id=header.frame_id)
        sample = self._inputs.put_operator(reported)
        self._gate.answer("operator", stamp_ns)
        if self._lockstep:
            return self._answer(steady_ns)
        return self.tick(now_ns, steady_ns) if self._arbiter.on_operator_sample(sample) else None

    def on_timer(self, now_ns: int, steady_ns: int) -> Decision | None:
        """Real time: the tick. Lockstep: looks at the deadline."""
        return self._answer(steady_ns) if self._lockstep else self.tick(now_ns, steady_ns)

    def tick(self, now_ns: int, steady_ns: int) -> Decision:
        """Real time: decides now."""
        self._cadence.tick(steady_ns)
        self._inputs.operator_expected = self._expects_operator(steady_ns)
        self._inputs.operator_published = self._operator_publishers > 0
        return self._step(now_ns, steady_ns, self._estop.held(steady_ns))

    def stop(self, now_ns: int, steady_ns: int) -> Decision:
        """The safe command to end with."""
        last = self._arbiter.last(now_ns)
        self.record.add(last, self._inputs.take(steady_ns))
        return last

    def summary(self, steady_ns: int) -> dict[str, str]:
        """Key and value for /diagnostics."""
        pose = self._inputs.pose
        return self.record.summary(pose.stamp_ns if self._lockstep and pose else steady_ns, self.ticks_missed)

    def _expects_operator(self, steady_ns: int) -> bool:
        """Whether the operator may be moving a device that this arbiter has not discovered yet, as after a restart.

        In lockstep every tick waits for the operator.
        """
        if self._began_ns < 0:
            self._began_ns = steady_ns
        if self._inputs.operator is not None:
            return False
        return self._operator_publishers > 0 or steady_ns - self._began_ns < self._search_ns

    def _arrival(self, header: Header, steady_ns: int) -> int:
        return header.stamp_ns if self._lockstep else steady_ns

    def _answer(self, steady_ns: int) -> Decision | None:
        tick = self._gate.take(steady_ns)
        if tick is None:
            return None
        return self._step(tick.stamp_ns, tick.stamp_ns, self._estop.held(steady_ns), tick.late)

    def _step(self, now_ns: int, steady_ns: int, estop: bool, late: tuple[str, ...] = ()) -> Decision:
        self._inputs.output_fault, self._inputs.output_share = self._output_fault(steady_ns), self._output_share()
        inputs = self._inputs.take(steady_ns, late, estop)
        decision = self._arbiter.step(now_ns, inputs)
        self.record.add(decision, inputs)
        return decision
