"""Faults of the newest observation, feedback and policy message in a tick. Pure; time is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from apo_core.action_tokens import known_tokens
from apo_core.content_watch import FROZEN
from apo_core.contract.contract import Contract
from apo_core.contract.frames import frame_fault
from apo_core.contract.specs import LARGEST
from apo_core.types import ActionChunk
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.types import ArbiterInputs, FeedbackInput, PolicyInput, PoseInput, Reason

_PERIOD_TOLERANCE = 0.01  # share of the contract's period

Found = dict[Reason, str]  # every reason that holds, with details for people


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """The policy's action for one tick."""

    values: np.ndarray  # float32 (A,), contract units
    tokens: np.ndarray | None  # int32 (A,), emitted for the values; None: unknown


class Watchdogs:
    """Checks inputs by age, stamp, shape and value.

    Args:
        config: how long an input may be silent, how far ahead a stamp may lie, the robot's name for the frame.
        contract: frame, shapes, rate, largest age; whether the robot gives feedback.
    """

    def __init__(self, config: ArbiterConfig, contract: Contract):
        self._contract, self._robot_frame = contract, config.robot.output_frame
        self._size, self._period_ns = contract.action.size, contract.period_ns
        self._max_age_ns = round(contract.max_age_s * 1e9)
        self._future_ns = round(config.future_tolerance_s * 1e9)
        self._silent_ns = round(config.policy_silent_s * 1e9)
        self._feedback_expected = contract.feedback is not None
        self._checked: ActionChunk | None = None  # the chunk that _shape, _finite and _tokens belong to
        self._shape, self._finite = "", True
        self._tokens: np.ndarray | None = None  # int32 (horizon, A)

    def robot_frame_fault(self, frame_id: str) -> str:
        """Why a message of the robot in this frame must not count; empty if it may."""
        return frame_fault(frame_id, self._contract, self._robot_frame)

    def pose(self, now_ns: int, steady_ns: int, pose: PoseInput | None) -> Found:
        """Reasons that hold of the observation at ROS time `now_ns`."""
        if pose is None:
            return {Reason.OBSERVATION_MISSING: ""}
        found = self._age(now_ns, steady_ns, pose, Reason.OBSERVATION_FUTURE, Reason.OBSERVATION_STALE)
        fault = self.robot_frame_fault(pose.frame_id)
        if not is_position(pose):
            fault = f"position {tuple(pose.position)}"
        if fault:
            found[Reason.OBSERVATION_INVALID] = fault
        return found

    def feedback(self, now_ns: int, steady_ns: int, feedback: FeedbackInput | None) -> Found:
        """Reasons that hold of the measured motion; none for a robot that gives none."""
        if not self._feedback_expected:
            return {}
        if feedback is None:
            return {Reason.FEEDBACK_MISSING: ""}
        found = self._age(now_ns, steady_ns, feedback, Reason.FEEDBACK_FUTURE, Reason.FEEDBACK_STALE)
        fault = self.robot_frame_fault(feedback.frame_id)
        if len(feedback.twist) != 6 or not all(map(math.isfinite, feedback.twist)):
            fault = f"twist {feedback.twist}"
        if fault:
            found[Reason.FEEDBACK_INVALID] = fault
        return found

    def policy(self, now_ns: int, inputs: ArbiterInputs, fresh_after_ns: int) -> Found:
        """Reasons that hold of the policy; a chunk executes only if its observation is not before `fresh_after_ns`."""
        newest, found = inputs.policy, {}
        if "policy" in inputs.late:
            found[Reason.POLICY_LATE] = ""
        if newest is None:
            found[Reason.NO_CHUNK] = ""
            return found
        silent_ns = inputs.steady_ns - newest.receive_ns
        if silent_ns > self._silent_ns:
            found[Reason.POLICY_SILENT] = seconds(silent_ns, "silent")
        chunk = newest.chunk
        if chunk is None or newest.fault:
            is_frozen = newest.fault.startswith(FROZEN)
            reason = Reason.CONTENT_FROZEN if is_frozen else Reason.POLICY_FAULT
            found[reason] = newest.fault.removeprefix(FROZEN) or "no chunk"
            return found
        if chunk.adapter_version not in inputs.adapters:
            found[Reason.ADAPTER_UNKNOWN] = f"adapter {chunk.adapter_version}"
        self._check(chunk)
        misshapen = self._shape or frame_fault(newest.frame_id, self._contract)
        if misshapen:
            found[Reason.CHUNK_MALFORMED] = misshapen
            return found
        age_ns = now_ns - chunk.observation_stamp_ns
        if not self._finite:
            found[Reason.CHUNK_NON_FINITE] = ""
        if -age_ns > self._future_ns:
            found[Reason.CHUNK_FUTURE] = seconds(-age_ns, "ahead")
        if chunk.observation_stamp_ns < fresh_after_ns:
            found[Reason.AWAITING_FRESH_CHUNK] = ""
        if age_ns > self._max_age_ns:
            found[Reason.CHUNK_STALE] = seconds(age_ns, "old")
        if self._row_index(age_ns) >= len(chunk.values):
            found[Reason.CHUNK_EXHAUSTED] = f"{len(chunk.values)} rows"
        return found

    def policy_row(self, now_ns: int, newest: PolicyInput | None, adapters: frozenset[int]) -> PolicyRow | None:
        """The policy's action for this tick, whether or not it may drive; None where there is none to trust."""
        if newest is None or newest.chunk is None or newest.fault or frame_fault(newest.frame_id, self._contract):
            return None
        chunk, age_ns = newest.chunk, now_ns - newest.chunk.observation_stamp_ns
        self._check(chunk)
        index = self._row_index(age_ns)
        if self._shape or chunk.adapter_version not in adapters or index >= len(chunk.values):
            return None
        if age_ns > self._max_age_ns or -age_ns > self._future_ns:
            return None
        row = np.asarray(chunk.values[index], np.float32)
        if not (self._finite or np.isfinite(row).all()):
            return None
        return PolicyRow(row, None if self._tokens is None else self._tokens[index])

    def _age(self, now_ns: int, steady_ns: int, got: PoseInput | FeedbackInput, ahead: Reason, old: Reason) -> Found:
        found: Found = {}
        if got.stamp_ns - now_ns > self._future_ns:
            found[ahead] = seconds(got.stamp_ns - now_ns, "ahead")
        age_ns = max(now_ns - got.stamp_ns, steady_ns - got.receive_ns)
        if age_ns > self._max_age_ns:
            found[old] = seconds(age_ns, "old")
        return found

    def _check(self, chunk: ActionChunk) -> None:
        """Shape, values and tokens of a chunk, once for all its ticks."""
        if chunk is self._checked:
            return
        self._checked, self._shape = chunk, self._shape_fault(chunk)
        self._finite = bool(np.isfinite(chunk.values).all())
        self._tokens = known_tokens(chunk.tokens, chunk.values.shape)

    def _shape_fault(self, chunk: ActionChunk) -> str:
        if chunk.values.ndim != 2 or chunk.values.shape[1] != self._size or not len(chunk.values):
            return f"shape {chunk.values.shape}, the contract requires (horizon, {self._size})"
        if abs(chunk.period_ns - self._period_ns) > _PERIOD_TOLERANCE * self._period_ns:
            return f"period {chunk.period_ns * 1e-9:.4f} s, the contract requires {self._period_ns * 1e-9:.4f} s"
        return ""

    def _row_index(self, age_ns: int) -> int:
        # a stamp ahead within the tolerance belongs to the first row
        return max(0, round(age_ns / self._period_ns))


def is_position(pose: PoseInput) -> bool:
    """Whether the position is three numbers that can be one."""
    return len(pose.position) == 3 and all(abs(value) <= LARGEST for value in pose.position)


def seconds(ns: int, what: str) -> str:
    """A time for people."""
    return f"{ns * 1e-9:.3f} s {what}"
