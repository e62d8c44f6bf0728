"""Answers every observation with a new chunk, the one in force, or a fault that explains why there is none. Pure."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError, ObservationError
from apo_core.served_policy import ServedPolicy
from apo_core.types import ActionChunk, ControlSource, Observation
from apo_policy_node.inference.chunk_check import chunk_fault
from apo_policy_node.inference.chunking import Chunking, Replace
from apo_policy_node.inference.uncertainty import HelpRequest, Uncertainty

_LATENCIES = 10  # newest inferences that the next one is expected to be no slower than


class Cause(enum.StrEnum):
    """Why an answer is what it is."""

    IN_FORCE = "in_force"  # the chunk of before still serves
    NO_CHUNK = "no_chunk"
    CHUNK_USED = "chunk_used"
    NOT_DRIVING = "not_driving"  # the last command was not the policy's, so the chunk is of another state
    NEW_TRIAL = "new_trial"  # the stamp jumped
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Answer:
    """The policy's answer to one observation: a chunk, or a fault and no action."""

    observation_stamp_ns: int  # of the observation answered; that of a repeated chunk is older
    chunk: ActionChunk | None
    cause: Cause
    fault: str = ""  # why there is no chunk
    inference_s: float = 0.0  # wall time of the inference behind a new chunk
    uncertainty: Uncertainty | None = None  # of a new chunk


class PolicyRunner:
    """Decides when to predict anew and holds the chunk in force. Not thread-safe: one thread answers.

    Args:
        policy: predicts; whatever it raises or returns out of shape becomes a fault.
        contract: action size, rate, age limits.
        replan_steps: ticks a chunk is used before the next prediction.
        clock: seconds, monotonic; times the inference.
        lockstep: simulated time waits, so every tick is observed and any gap is a new trial. Otherwise slow inference
            skips observations, and only a gap above contract.max_age_s is one.
        rows: predicted and executed at most; None: all of a chunk.
        chunking: how a chunk goes together with those before it.
        help_request: evaluates the uncertainty of each new chunk.

    Raises:
        ConfigError: replan_steps below 1.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        contract: Contract,
        replan_steps: int,
        clock: Callable[[], float],
        lockstep: bool = False,
        rows: int | None = None,
        chunking: Chunking | None = None,
        help_request: HelpRequest | None = None,
    ):
        if replan_steps < 1:
            raise ConfigError("config/policy.yaml", [f"replan_steps = {replan_steps} must be at least 1"])
        self._policy, self._contract, self._replan_steps, self._clock = policy, contract, replan_steps, clock
        self._lockstep, self._rows = lockstep, rows
        self._chunking = chunking or Replace()
        self._help = help_request or HelpRequest(0.0, 1, replan_steps)
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._period_ns = contract.period_ns
        self._max_gap_ns = round(1.5 * contract.period_ns) if lockstep else round(contract.max_age_s * 1e9)
        self._max_age_ns = round(contract.max_age_s * 1e9)
        # a simulated clock may lag behind the observation by one period
        self._max_ahead_ns = self._period_ns + round(contract.tolerance_s * 1e9)
        self.reset()

    def reset(self) -> None:
        """Drops the chunk in force, the last source of commands, and a request for help."""
        self._chunking.reset()
        self._help.reset()
        self._chunk: ActionChunk | None = None
        self._answered_ns: int | None = None
        self._last_source: ControlSource | None = None

    @property
    def answered_ns(self) -> int | None:
        """Stamp of the newest observation answered."""
        return self._answered_ns

    def executed(self, source: ControlSource) -> None:
        """Records the source of the last executed command."""
        self._last_source = source

    def cause_to_replan(self, stamp_ns: int) -> Cause:
        """Why an observation of this stamp needs a new chunk; IN_FORCE when it does not."""
        if self._answered_ns is not None and not 0 <= stamp_ns - self._answered_ns <= self._max_gap_ns:
            return Cause.NEW_TRIAL
        if self._chunk is None:
            return Cause.NO_CHUNK
        if self._last_source not in (None, ControlSource.POLICY):
            return Cause.NOT_DRIVING
        age_ns = stamp_ns - self._chunk.observation_stamp_ns
        used = round(age_ns / self._period_ns)
        if age_ns > self._max_age_ns or used >= min(self._replan_steps, len(self._chunk.values)):
            return Cause.CHUNK_USED
        return Cause.IN_FORCE

    def answer(self, observation: Observation, now_ns: int) -> Answer:
        """The answer to an observation at ROS time `now_ns`; never raises."""
        stamp_ns = observation.stamp_ns
        cause = self.cause_to_replan(stamp_ns)
        self._answered_ns = stamp_ns
        fault = self._observation_fault(observation, now_ns)
        if fault:
            return self._reject(stamp_ns, fault)
        if cause == Cause.IN_FORCE:
            return Answer(stamp_ns, self._chunk, cause)
        if cause != Cause.CHUNK_USED:
            self._chunking.reset()
        try:
            return self._predicted(observation, cause)
        except Exception as error:  # whatever goes wrong with a model must reach the arbiter as a fault
            return self._reject(stamp_ns, f"inference failed: {type(error).__name__}: {error}")

    def _predicted(self, observation: Observation, cause: Cause) -> Answer:
        stamp_ns, begin_s = observation.stamp_ns, self._clock()
        committed = self._chunking.committed(stamp_ns, self._expected_s(), self._policy.adapter_version)
        chunk = self._policy.predict(observation, committed, self._rows)
        fault = chunk_fault(chunk, stamp_ns, self._contract)
        if fault:
            return self._reject(stamp_ns, fault)
        self._chunk = self._chunking.join(chunk)
        inference_s = self._clock() - begin_s
        self._latencies.append(inference_s)
        uncertainty = self._help.evaluate(chunk, observation.state, cause == Cause.CHUNK_USED)
        return Answer(stamp_ns, self._chunk, cause, inference_s=inference_s, uncertainty=uncertainty)

    def checked(self, answer: Answer, now_ns: int) -> Answer:
        """The answer, or a fault when the observation behind its actions has become too old by ROS time `now_ns`."""
        if answer.chunk is None or now_ns - answer.chunk.observation_stamp_ns <= self._max_age_ns:
            return answer
        age_s = (now_ns - answer.chunk.observation_stamp_ns) / 1e9
        return self._reject(
            answer.observation_stamp_ns,
            f"the inference took {answer.inference_s:.3f} s: the observation behind the actions is {age_s:.3f} s old, "
            f"max_age_s = {self._contract.max_age_s} ({self._contract.source})",
        )

    def _expected_s(self) -> float:
        """Time until the chunk to be predicted now can be executed; simulated time waits for it."""
        return 0.0 if self._lockstep else max(self._latencies, default=0.0)

    def _reject(self, stamp_ns: int, fault: str) -> Answer:
        self._chunk = None
        return Answer(stamp_ns, None, Cause.FAULT, fault)

    def _observation_fault(self, observation: Observation, now_ns: int) -> str:
        age_ns = now_ns - observation.stamp_ns
        if age_ns > self._max_age_ns:
            return (
                f"observation is {age_ns / 1e9:.3f} s old, max_age_s = {self._contract.max_age_s} "
                f"({self._contract.source})"
            )
        if -age_ns > self._max_ahead_ns:
            return (
                f"observation is stamped {-age_ns / 1e9:.3f} s in the future, at most {self._max_ahead_ns / 1e9:.3f} s "
                "is allowed: synchronise the clocks"
            )
        try:
            self._contract.check_observation(observation)
        except ObservationError as error:
            return str(error)
        return ""
